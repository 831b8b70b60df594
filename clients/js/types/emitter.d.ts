/** @param {unknown} error */
export function report(error: unknown): void;
/**
 * Typed events. Listeners are called in the order in which they were added; what one throws is reported like any
 * uncaught error and hurts neither the others nor the connection.
 * @template {Record<string, any>} Events
 */
export class Emitter<Events extends Record<string, any>> {
    /**
     * Calls `listener` at each `name`. Returns a function that ends it.
     * @template {keyof Events} Name
     * @param {Name} name
     * @param {(event: Events[Name]) => void} listener
     * @returns {() => void}
     */
    on<Name extends keyof Events>(name: Name, listener: (event: Events[Name]) => void): () => void;
    /**
     * @template {keyof Events} Name
     * @param {Name} name
     * @param {(event: Events[Name]) => void} listener
     */
    off<Name extends keyof Events>(name: Name, listener: (event: Events[Name]) => void): void;
    /**
     * The next event of this name that `wanted` accepts.
     * @template {keyof Events} Name
     * @param {Name} name
     * @param {(event: Events[Name]) => boolean} [wanted]
     * @returns {Promise<Events[Name]>}
     */
    once<Name extends keyof Events>(name: Name, wanted?: (event: Events[Name]) => boolean): Promise<Events[Name]>;
    /**
     * @template {keyof Events} Name
     * @param {Name} name
     * @param {Events[Name]} event
     * @protected
     */
    protected emit<Name extends keyof Events>(name: Name, event: Events[Name]): void;
    /**
     * @param {keyof Events} name
     * @protected
     */
    protected listens(name: keyof Events): boolean;
    #private;
}
