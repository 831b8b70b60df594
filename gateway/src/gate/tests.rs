use std::num::NonZeroU32;

use streamz_platform::{Config, ConfigArgs, Role};

use super::*;

const MIB: u64 = 1024 * 1024;

fn gate(requests: u32, per_address: u32, per_second: u32) -> Gate {
    let args = ConfigArgs::from_vars([]).unwrap();
    let number = |number| NonZeroU32::new(number).unwrap();
    Gate::new(&HttpLimits {
        requests: number(requests),
        requests_per_address: number(per_address),
        connections_per_second: number(per_second),
        ..Config::from_args(Role::Embedded, &args).unwrap().http
    })
}

fn at(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn one_address_does_not_take_every_place() {
    let gate = gate(3, 2, 10);
    let places: Vec<Place> = (0..2).map(|_| gate.request(at("192.0.2.1")).unwrap()).collect();
    assert_eq!(gate.request(at("192.0.2.1")).err(), Some(Shed::Address));
    // The same client, however it writes its address.
    assert_eq!(gate.request(at("::ffff:192.0.2.1")).err(), Some(Shed::Address));
    let other = gate.request(at("192.0.2.2")).unwrap();
    assert_eq!(gate.request(at("192.0.2.3")).err(), Some(Shed::Requests));
    drop(other);
    drop(places);
    let under_way = gate.0.under_way.lock();
    assert_eq!((under_way.all, under_way.of.len()), (0, 0), "nothing of anybody is kept");
}

#[test]
fn an_ipv6_address_is_counted_by_its_64() {
    let gate = gate(10, 1, 10);
    let _place = gate.request(at("2001:db8:0:1::1")).unwrap();
    assert_eq!(gate.request(at("2001:db8:0:1:ffff:ffff:ffff:ffff")).err(), Some(Shed::Address));
    assert!(gate.request(at("2001:db8:0:2::1")).is_ok());
}

#[test]
fn connections_come_no_faster_than_they_may() {
    let gate = gate(1, 1, 5);
    let taken = (0..20).filter(|_| gate.connection().is_ok()).count();
    assert!((5..=6).contains(&taken), "{taken}");
    assert_eq!(gate.connection(), Err(Shed::Rate));
}

#[test]
fn under_pressure_nobody_new_is_let_in() {
    let gate = gate(1, 1, 1000);
    for cause in Shed::ALL {
        gate.set_pressure(Some(cause));
        assert_eq!(gate.connection(), Err(cause));
    }
    // Whoever is there is answered.
    assert!(gate.request(at("192.0.2.1")).is_ok());
    gate.set_pressure(None);
    assert_eq!(gate.connection(), Ok(()));
}

#[test]
fn memory_is_short_from_90_percent_up_and_until_85_percent_down() {
    let mut judge = Judge::default();
    let mut measure = |used: u64| judge.measure(Duration::ZERO, Some(used * MIB), Some(100 * MIB));
    assert_eq!(measure(90), None);
    assert_eq!(measure(91), Some(Shed::Memory));
    assert_eq!(measure(86), Some(Shed::Memory));
    assert_eq!(measure(85), None);
    assert_eq!(measure(90), None);
    assert_eq!(
        judge.measure(Duration::ZERO, Some(u64::MAX), None),
        None,
        "nobody has said how much there is"
    );
    assert_eq!(judge.measure(Duration::ZERO, None, Some(1)), None);
}

#[test]
fn the_processor_is_short_if_timers_are_late_again_and_again() {
    let mut judge = Judge::default();
    let mut late = |millis| judge.measure(Duration::from_millis(millis), None, None);
    // A process that stood still for a minute goes on.
    assert_eq!(late(60_000), None);
    assert_eq!((late(20), late(500), late(500)), (None, None, None));
    assert_eq!(late(500), Some(Shed::Processor));
    assert_eq!(late(2000), Some(Shed::Processor));
    assert_eq!(late(499), None);
}
