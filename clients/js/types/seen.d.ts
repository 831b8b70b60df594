/**
 * A bounded memory of `mid`s (`session:number`). A high-water mark would not do: candidates are held until the
 * offer they belong to, so numbers of one sender arrive out of order by design.
 */
export class Seen {
    /**
     * Whether `mid` is new; it is not, the next time.
     * @param {string} mid
     */
    insert(mid: string): boolean;
    /** How much is remembered, for tests. */
    get size(): number;
    #private;
}
