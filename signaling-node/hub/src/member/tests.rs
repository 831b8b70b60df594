use streamz_protocol::GatewayId;

use super::*;

fn member() -> Member {
    let caps = Caps { acks: true, max_streams: 1 };
    let conn = ConnId { gateway: GatewayId(1), number: 1 };
    Member::new(SessionId(Uuid::from_u128(9)), 1, DeviceId::new("tv").unwrap(), Uuid::nil(), caps, conn)
}

fn mid(number: u64) -> Mid {
    Mid { session: SessionId(Uuid::from_u128(1)), number }
}

fn say(member: &mut Member, class: Class, limits: &Limits) -> Vec<Verdict> {
    member.push(
        class,
        Body::of(&streamz_protocol::server::ServerMessage::Pong {}),
        limits,
        Millis(5),
        &mut Out::default(),
    )
}

fn message(number: u64) -> Class {
    Class::Message { mid: mid(number), late: false }
}

#[test]
fn an_ack_confirms_all_that_it_covers_once() {
    let mut member = member();
    let limits = Limits::default();
    for number in 1..=3 {
        say(&mut member, message(number), &limits);
    }
    let confirmed: Vec<u64> = member.ack(2).iter().map(|verdict| verdict.mid.number).collect();
    assert_eq!(confirmed, [1, 2]);
    assert!(member.ack(2).is_empty());
    assert!(member.ack(4).is_empty(), "a number that was never sent confirms nothing");
    assert_eq!(member.ack(3).len(), 1);
}

#[test]
fn the_window_ends_at_its_limit_and_says_what_fell_out() {
    let mut member = member();
    let limits = Limits { window_frames: 2, ..Limits::default() };
    assert!(say(&mut member, message(1), &limits).is_empty());
    assert!(say(&mut member, message(2), &limits).is_empty());
    let fallen = say(&mut member, message(3), &limits);
    assert_eq!(fallen.len(), 1);
    assert_eq!(fallen[0].mid, mid(1));
    assert_eq!(fallen[0].state, TargetState::Failed(Reason::Expired));
    assert!(member.can_resume(0), "a message that has its outcome may be skipped");
    say(&mut member, Class::State, &limits);
    say(&mut member, message(4), &limits);
    say(&mut member, message(5), &limits);
    assert!(!member.can_resume(3), "a lost state frame may not");
    assert!(member.can_resume(4));
}

#[test]
fn a_resume_needs_a_number_between_the_confirmed_and_the_sent() {
    let mut member = member();
    let limits = Limits::default();
    say(&mut member, Class::State, &limits);
    say(&mut member, Class::State, &limits);
    member.ack(1);
    assert!(!member.can_resume(0));
    assert!(member.can_resume(1));
    assert!(member.can_resume(2));
    assert!(!member.can_resume(3));
}

#[test]
fn messages_whose_time_is_over_are_not_replayed() {
    let mut member = member();
    let limits = Limits::default();
    say(&mut member, message(1), &limits);
    say(&mut member, Class::State, &limits);
    let replay = member.replay(Millis(5) + limits.delivery, &limits);
    assert_eq!(replay.len(), 1);
    assert_eq!(replay[0].seq, 2);
}
