//! What the store promises, on a real database of each kind: every case stands once and runs as a test for SQLite and as
//! one for Postgres.

#![allow(clippy::unwrap_used)]

mod coordinator;
mod devices;
mod evict;
mod fenced;
mod fixture;
mod left;
mod login;
mod pages;
mod presence;
mod processes;
mod refresh;
mod schema;
mod sessions;
mod slots;
mod streams;
mod sweep;
mod text;
mod users;

/// Makes the tests of both databases. A case that is not listed is dead code, which clippy refuses.
macro_rules! contract {
    ($($aggregate:ident { $($case:ident,)* })*) => {
        mod on_sqlite {
            $(mod $aggregate {
                $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    crate::$aggregate::$case(&crate::fixture::Fixture::sqlite().await).await;
                })*
            })*
        }
        postgres_contract!(on_postgres { $($aggregate { $($case,)* })* });
    };
}

/// Makes the tests of what only Postgres has.
macro_rules! postgres_contract {
    ($name:ident { $($aggregate:ident { $($case:ident,)* })* }) => {
        mod $name {
            $(mod $aggregate {
                $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    crate::$aggregate::$case(&crate::fixture::Fixture::postgres().await).await;
                })*
            })*
        }
    };
}

contract! {
    users {
        comes_back_as_made,
        is_json_without_the_password_hash,
        has_an_email_of_its_own,
        is_made_once_of_many_at_once,
        is_none_if_unknown,
        changes_its_password_hash_only_from_the_old_one,
        takes_everything_along,
        is_missed_when_it_is_gone,
    }
    devices {
        come_back_as_made,
        are_unique_for_their_user_only,
        are_counted,
        need_a_user,
        are_ensured_once,
        are_ensured_once_of_many_at_once,
        are_counted_also_at_once,
        change,
        go,
        are_nobody_elses,
        tell_whether_their_user_exists,
    }
    presence {
        is_written_in_batches,
        takes_the_last_word,
        passes_over_what_is_gone,
        is_put_right_after_a_crash,
    }
    streams {
        grow,
        end_once,
        are_written_any_number_of_times_at_once,
        are_written_by_many_at_once,
        outlive_their_devices,
        name_only_devices_of_their_user,
        need_a_user,
        are_nobody_elses,
        are_closed_after_a_crash,
    }
    pages {
        go_through_equal_times,
        stay_in_place_while_streams_start,
        show_live_or_ended_ones,
        show_one_device,
        order_every_fraction_of_a_second,
        refuse_other_cursors,
        have_a_size,
    }
    refresh {
        rotates,
        is_the_same_when_it_is_asked_for_again,
        is_the_same_for_two_who_ask_at_once,
        ends_a_family_that_reuses,
        ends_with_its_time,
        ends_when_revoked,
        needs_a_user,
        has_one_winner_of_many_at_once,
        never_outlives_a_revocation_at_once,
        lists_what_was_revoked,
    }
    sessions {
        are_listed_as_they_were_used,
        end_one_by_one_for_their_owner_only,
        end_with_a_new_password_but_one,
        end_with_their_account_and_stay_ended,
        do_not_begin_with_an_old_password,
        never_outlive_a_change_at_once,
    }
    login {
        stops_at_the_limit_with_growing_delay,
        counts_many_at_once,
        forgets_after_success,
        keeps_keys_apart,
        keeps_no_text,
    }
    sweep {
        removes_what_is_old,
        takes_small_batches,
        keeps_everything_for_ever_if_told,
        keeps_for_less_than_a_day_if_told,
        leaves_streams_that_go_on,
    }
    schema {
        is_migrated_once,
        is_compared,
        of_a_newer_program_is_served_by_an_older_one,
        answers_until_closed,
        of_an_older_program_is_brought_up_to_date,
        has_a_cluster_only_where_many_share_it,
    }
    text {
        comes_back_unchanged,
        with_nul_is_refused,
        too_long_is_refused,
    }
}

postgres_contract! {
    in_a_cluster {
        processes {
            are_listed_as_registered,
            have_ids_of_their_own,
            hear_of_their_namesakes,
            have_one_key,
            of_one_name_hear_of_each_other_also_at_once,
            renew_and_learn_what_is_new,
            drain,
            leave_nothing_behind,
            age_by_the_database,
        }
        coordinator {
            is_one_of_many_at_once,
            goes_on_after_a_lost_answer,
            is_followed_when_its_lease_is_over,
            is_followed_at_once_after_an_orderly_end,
            writes_nothing_once_deposed,
            is_a_node_that_is_there,
            is_not_deposed_while_it_writes,
            keeps_no_lease_from_a_clock_that_went_back,
        }
        slots {
            begin_without_owners,
            are_given_once,
            are_given_to_nodes_that_are_there,
            are_taken_only_from_the_gone,
            show_changes_since_a_version,
            move_when_their_owner_says_so,
            stay_when_their_target_is_gone,
            stay_when_a_move_is_cancelled,
            are_safe_to_give_again_after_a_lost_answer,
            rise_by_one_for_each_owner_in_any_race,
        }
        evict {
            takes_the_silent_and_gives_away_their_slots,
            spares_who_renews,
            loses_to_a_renewal_in_flight,
            is_heard_by_a_renewal_that_comes_too_late,
            believes_a_renewal_rather_than_the_evidence,
            takes_who_renewed_before_the_clock_went_back,
            cuts_off_who_stops_in_the_middle,
        }
        fenced {
            writes_presence_while_it_owns,
            writes_streams_while_it_owns,
            closes_streams_while_it_owns,
            is_waited_for_by_a_change_of_owner,
            waits_for_a_change_of_owner_and_is_refused,
            never_writes_after_the_next_owner,
            does_not_deadlock_with_changes_of_owners,
            is_written_with_the_slot,
        }
        left {
            is_found_by_slot,
            comes_in_pages,
            is_adopted_without_a_slot,
        }
    }
}
