//! Commands and settings: under which number they are executed, and who is told.

use super::*;

pub(super) fn close_day(seq_no: u64, command_no: u64) -> CloseDay {
    let (seq_no, command_no) = (RequestNumber(seq_no), RequestNumber(command_no));
    CloseDay { seq_no, command_no, business_date: 3, next: 4 }
}

impl World {
    /// Answers the oldest record, which is a command.
    fn reply(&mut self, refusal: Option<RejectReason>, field: &str) {
        self.queue.bodies.remove(0);
        let (RecordHeader { session, request, .. }, command) = self.queue.records.remove(0);
        assert_eq!(command, commands::CloseDay { business_date: 3, next: 4 }.into());
        let effective_seq = Seq(self.seq - 7);
        self.commit(events::Replied {
            session,
            request,
            effective_seq,
            refusal,
            field: Text::truncated(field),
        });
    }

    /// The number of the next command, as a new connection is told.
    fn next_command_no(&mut self, id: u64) -> u64 {
        self.connect(id);
        let challenge = self.negotiate(id, SESSION);
        let heard = self.establish(id, proof(challenge, 1));
        let Ok(Message::EstablishAck(ack)) = Message::read(&heard) else { panic!() };
        ack.next_command_no.0
    }
}

#[test]
fn a_command_goes_to_the_journal_under_its_number_in_the_session() {
    let mut world = World::new(Options::default());
    world.open(1);
    world.open(2);
    world.send(1, close_day(1, 1));
    world.send(2, close_day(1, 2));
    world.send(2, batch(2, &transfers(1)));
    let numbers: Vec<u64> = world.queue.records[..2].iter().map(|(header, _)| header.request.0).collect();
    assert_eq!(numbers, [1, 2]);
    assert!(world.queue.records.iter().all(|(header, _)| header.session == SESSION));
    world.reply(None, "");
    world.reply(Some(RejectReason::FieldOutOfRange), "next");
    assert_eq!(names(&world.heard(1)), ["Executed 1 1 33"], "where it took effect, which may be long ago");
    let heard = world.heard(2);
    let Ok(Message::BusinessReject(reject)) = Message::read(&heard) else { panic!() };
    assert_eq!((reject.ref_template_id, reject.ref_seq_no), (CloseDay::TEMPLATE, RequestNumber(1)));
    assert_eq!(reject.refusal, Some(RejectReason::FieldOutOfRange));
    assert_eq!(reject.text.as_str(), "next");
    world.execute();
    assert_eq!(names(&world.heard(2)), ["TransfersCreated 2"]);
}

#[test]
fn a_command_that_comes_again_is_answered_to_whoever_sent_it_each_time() {
    let mut world = World::new(Options::default());
    world.open(1);
    world.send(1, close_day(1, 5));
    world.acceptor.closed(ConnectionId(1));
    world.open(2);
    world.open(3);
    world.send(2, close_day(1, 5));
    world.send(3, close_day(1, 5));
    world.reply(None, "");
    assert_eq!(names(&world.heard(2)), Vec::<String>::new(), "that was connection 1's");
    world.reply(Some(RejectReason::KeyReused), "next");
    world.reply(None, "");
    assert_eq!(names(&world.heard(2)), ["BusinessReject 1 RefusedKeyReused"]);
    assert_eq!(names(&world.heard(3)), ["Executed 1 5 35"]);
    // Another term: what was submitted in the one before is lost, and who waited for it has gone.
    world.send(3, close_day(2, 6));
    let leadership = [Leadership::Elsewhere(String::new()), Leadership::Here(Term(6), Seq(60))];
    leadership.into_iter().for_each(|leadership| world.acceptor.set_leadership(leadership, world.now));
    world.queue = Queue::default();
    world.open(4);
    world.send(4, close_day(1, 6));
    world.reply(None, "");
    assert_eq!(names(&world.heard(4)), ["Executed 1 6 36"]);
}

#[test]
fn the_number_of_a_command_is_near_those_before_it() {
    let mut world = World::new(Options::default());
    assert_eq!(world.next_command_no(1), 1);
    world.acceptor.set_next_command_no(SESSION, RequestNumber(41));
    assert_eq!(world.next_command_no(2), 41);
    let end = 41 + limits::REQUEST_WINDOW;
    for (n, number) in (1..).zip([0, end, 1 << 32, u64::MAX]) {
        world.send(2, close_day(n, number));
        let heard = world.heard(2);
        let Ok(Message::BusinessReject(reject)) = Message::read(&heard) else { panic!("{number}") };
        assert_eq!(reject.reason, BusinessRejectReason::FieldOutOfRange);
        assert_eq!(reject.text.as_str(), "command_no");
    }
    assert!(world.queue.records.is_empty());
    // What lies below the window the engine says.
    for (n, number) in (5..).zip([1, end - 1]) {
        world.send(2, close_day(n, number));
        world.reply(None, "");
    }
    assert_eq!(names(&world.heard(2)).len(), 2);
    assert_eq!(world.next_command_no(3), end);
    let header =
        RecordHeader { session: SESSION, request: RequestNumber(9 << 32 | 1), ..RecordHeader::default() };
    let RecordHeader { session, request, .. } = header;
    let (refusal, field) = (Some(RejectReason::NotEntitled), Text::EMPTY);
    world.commit(events::Replied { session, request, effective_seq: Seq(1), refusal, field });
    assert_eq!(world.next_command_no(4), end, "a batch has no number in its session");
}

#[test]
fn a_command_waits_for_room_in_the_queue() {
    let mut world = World::new(Options::default());
    world.open(1);
    world.queue.is_full = true;
    world.send(1, close_day(1, 1));
    world.queue.is_full = false;
    world.acceptor.resume(world.now, &mut world.queue);
    world.reply(None, "");
    assert_eq!(names(&world.heard(1)), ["Executed 1 1 33"]);
}

#[test]
fn settings_are_asked_for_and_answered() {
    let mut world = World::new(Options::default());
    world.open(1);
    let (min_seq, linearizable, number) = (Seq(0), false, RequestNumber);
    world.send(1, GetCalendar { seq_no: number(1), min_seq, linearizable });
    let read = world.acceptor.take_read().unwrap();
    let calendar = commands::SetCalendar {
        business_date: 9,
        weekend_days: 0x60,
        holidays: vec![10, 12],
        value_back_days_max: 1,
        value_ahead_days_max: 2,
        utc_offset_s: 3,
        behind_utc: true,
    };
    world.acceptor.answer(&read, Seq(8), &Answer::Calendar(Some(&calendar)), world.now);
    let heard = world.heard(1);
    let Ok(Message::Calendar(found)) = Message::read(&heard) else { panic!() };
    assert_eq!((found.client_seq_no, found.journal_seq, found.business_date), (number(1), Seq(8), 9));
    assert_eq!(found.holidays.iter().map(|holiday| holiday.day).collect::<Vec<_>>(), [10, 12]);
    world.send(1, GetCalendar { seq_no: number(2), min_seq, linearizable });
    let read = world.acceptor.take_read().unwrap();
    world.acceptor.answer(&read, Seq(8), &Answer::Calendar(None), world.now);
    let heard = world.heard(1);
    let Ok(Message::Calendar(found)) = Message::read(&heard) else { panic!() };
    assert_eq!((found.business_date, found.holidays.len()), (0, 0));
    let from_monitor = MonitorId(5);
    world.send(1, GetMonitors { seq_no: number(3), min_seq, linearizable, from_monitor, limit: 1 });
    let read = world.acceptor.take_read().unwrap();
    assert_eq!(read.query, Query::Monitors { from: from_monitor, limit: 1 });
    let answer = Answer::Monitors { monitors: &[], next: Some(MonitorId(7)) };
    world.acceptor.answer(&read, Seq(8), &answer, world.now);
    let heard = world.heard(1);
    let Ok(Message::Monitors(found)) = Message::read(&heard) else { panic!() };
    assert_eq!((found.next_monitor, found.monitors.len()), (MonitorId(7), 0));
    let (from_code, from_ledger) = (2, AssetId(3));
    world.send(
        1,
        GetAccountCodes { seq_no: number(4), min_seq, linearizable, from_code, from_ledger, limit: 2 },
    );
    let read = world.acceptor.take_read().unwrap();
    assert_eq!(read.query, Query::AccountCodes { from: (from_code, from_ledger), limit: 2 });
    let answer = Answer::AccountCodes { codes: &[], next: Some((5, AssetId(0))) };
    world.acceptor.answer(&read, Seq(8), &answer, world.now);
    let heard = world.heard(1);
    let Ok(Message::AccountCodes(found)) = Message::read(&heard) else { panic!() };
    assert_eq!((found.next_code, found.next_ledger, found.codes.len()), (5, AssetId(0), 0));
    for (n, limit) in [(5, 0), (6, 4_097)] {
        world.send(1, GetMonitors { seq_no: number(n), min_seq, linearizable, from_monitor, limit });
        let heard = world.heard(1);
        let Ok(Message::BusinessReject(reject)) = Message::read(&heard) else { panic!() };
        assert_eq!((reject.reason, reject.text.as_str()), (BusinessRejectReason::FieldOutOfRange, "limit"));
    }
}
