//! What the store promises, on a real database of each kind: every case stands once and runs as a test for SQLite and as
//! one for Postgres.

#![allow(clippy::unwrap_used)]

mod devices;
mod fixture;
mod login;
mod pages;
mod presence;
mod refresh;
mod schema;
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
        mod on_postgres {
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
        ends_a_family_that_reuses,
        ends_with_its_time,
        ends_when_revoked,
        needs_a_user,
        has_one_winner_of_many_at_once,
        never_outlives_a_revocation_at_once,
        lists_what_was_revoked,
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
        of_a_newer_program_is_left_alone,
        answers_until_closed,
    }
    text {
        comes_back_unchanged,
        with_nul_is_refused,
        too_long_is_refused,
    }
}
