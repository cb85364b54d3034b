//! Questions: whose turn it is, what finds room, and what a session may read.

use super::*;

#[test]
fn questions_are_handed_out_and_answered_under_their_numbers() {
    let mut world = World::new(Options { reads_max: 2, ..Options::default() });
    world.open(1);
    (1..=3).for_each(|n| world.send(1, balance(n)));
    let (first, second) = (world.acceptor.take_read().unwrap(), world.acceptor.take_read().unwrap());
    assert_eq!(world.acceptor.take_read(), None, "the third was refused");
    let expected = Query::BalanceAt { account: AccountId(4), at_seq: Seq(0), at_time: UnixNanos(0) };
    assert_eq!((first.seq_no, &first.query), (RequestNumber(1), &expected));
    let answer = Answer::Balance { time: UnixNanos(9), sums: [1, 2, 3, 4].map(Amount) };
    world.acceptor.answer(&second, Seq(44), &answer, world.now);
    let rejected = Answer::Rejected { reason: BusinessRejectReason::NotKept, retry_after_ns: 0, text: "" };
    world.acceptor.answer(&first, Seq(44), &rejected, world.now);
    let heard = world.heard(1);
    assert_eq!(names(&heard), ["BusinessReject 3 Busy", "Balance 2", "BusinessReject 1 NotKept"]);
    world.send(1, balance(4));
    let read = world.acceptor.take_read().unwrap();
    world.acceptor.closed(ConnectionId(1));
    world.acceptor.answer(&read, Seq(44), &answer, world.now);
    assert_eq!(world.acceptor.output(ConnectionId(1)), []);
}

#[test]
fn connections_take_turns_and_have_so_many_questions_taken_each() {
    let mut world = World::new(Options { reads_taken_max: 2, ..Options::default() });
    world.open(1);
    world.open(2);
    (1..=4).for_each(|n| world.send(1, balance(n)));
    (1..=2).for_each(|n| world.send(2, balance(n)));
    let mut taken = Vec::new();
    while let Some(read) = world.acceptor.take_read() {
        taken.push(read);
    }
    let asked: Vec<_> = taken.iter().map(|read| (read.connection.0, read.seq_no.0)).collect();
    assert_eq!(asked, [(1, 1), (2, 1), (1, 2), (2, 2)]);
    let answer = Answer::Balance { time: UnixNanos(9), sums: [1, 2, 3, 4].map(Amount) };
    world.acceptor.answer(&taken[2], Seq(44), &answer, world.now);
    let next = world.acceptor.take_read().unwrap();
    assert_eq!((next.connection.0, next.seq_no.0), (1, 3));
    assert_eq!(world.acceptor.take_read(), None);
    // What a connection that has gone had asked is nobody's question any more, and fills no queue.
    world.acceptor.closed(ConnectionId(1));
    world.acceptor.answer(&next, Seq(44), &answer, world.now);
    assert_eq!(world.acceptor.take_read(), None);
    assert_eq!(names(&world.heard(2)), [""; 0]);
}

#[test]
fn who_takes_no_answers_gets_no_other_question_taken() {
    let mut world = World::new(Options { output_bytes_max: 64, ..Options::default() });
    world.open(1);
    (1..=2).for_each(|n| world.send(1, balance(n)));
    let answer = Answer::Balance { time: UnixNanos(9), sums: [1, 2, 3, 4].map(Amount) };
    let first = world.acceptor.take_read().unwrap();
    world.acceptor.answer(&first, Seq(44), &answer, world.now);
    assert_eq!(world.acceptor.take_read(), None);
    assert_eq!(names(&world.heard(1)), ["Balance 1"]);
    assert_eq!(world.acceptor.take_read().unwrap().seq_no, RequestNumber(2));
}

#[test]
fn no_question_is_taken_whose_longest_answer_finds_no_room() {
    let ids = [AccountId(4); 10].map(|id| AccountKey { id });
    let mut rows = Vec::new();
    ids.iter().for_each(|id| id.put(&mut rows));
    let ask = |number| LookupAccounts {
        seq_no: RequestNumber(number),
        min_seq: Seq(0),
        linearizable: false,
        ids: Rows::new(&rows).unwrap(),
    };
    let two_answers = 2 * (10 * AccountState::BYTES + 512);
    let mut world = World::new(Options { output_bytes_max: two_answers, ..Options::default() });
    world.open(1);
    (1..=4).for_each(|number| world.send(1, ask(number)));
    let taken = world.take_reads();
    assert_eq!(taken.len(), 2);
    world.acceptor.answer(&taken[0], Seq(44), &Answer::Accounts(&[]), world.now);
    assert_eq!(world.take_reads(), [], "an answer waits to be read");
    world.heard(1);
    assert_eq!(world.take_reads().len(), 1);

    // One that has no room beside anything has it alone.
    let mut world = World::new(Options { output_bytes_max: 600, ..Options::default() });
    world.open(1);
    (1..=2).for_each(|number| world.send(1, ask(number)));
    assert_eq!(world.take_reads().len(), 1);
}

#[test]
fn a_session_has_so_many_questions_taken_over_all_its_connections() {
    let options = Options { reads_taken_per_session_max: 3, ..Options::default() };
    let mut world = World::new(options);
    (1..=2).for_each(|id| world.open(id));
    (1..=3).for_each(|n| (1..=2).for_each(|id| world.send(id, balance(n))));
    let mut taken = world.take_reads();
    let asked =
        |taken: &[Read]| -> Vec<_> { taken.iter().map(|read| (read.connection.0, read.seq_no.0)).collect() };
    assert_eq!(asked(&taken), [(1, 1), (2, 1), (1, 2)]);
    // What is answered, what is given up and what belonged to a connection that has gone make room alike.
    let answer = Answer::Balance { time: UnixNanos(9), sums: [1, 2, 3, 4].map(Amount) };
    world.acceptor.answer(&taken.remove(0), Seq(44), &answer, world.now);
    taken.extend(world.take_reads());
    assert_eq!(asked(&taken[2..]), [(2, 2)]);
    world.acceptor.give_up(&taken.remove(0));
    taken.extend(world.take_reads());
    assert_eq!(asked(&taken[2..]), [(1, 3)]);
    world.acceptor.closed(ConnectionId(1));
    world.acceptor.answer(&taken.remove(2), Seq(44), &answer, world.now);
    assert_eq!(asked(&world.take_reads()), [(2, 3)]);
}

#[test]
fn a_session_reads_what_its_clients_own_and_the_banks_own_read_everything() {
    use commands::roles::{ADMIN, CASHIER, PAYER, TRADER};
    let mut world = World::new(Options::default());
    world.acceptor.define(&definition_of(SESSION.0, SessionProtocol::Request, &[8, 5]), world.now);
    world.open(1);
    let mut number = 0;
    for (roles, seen) in [
        (None, [false; 3]),
        (Some(PAYER), [true, false, true]),
        (Some(TRADER), [true, false, true]),
        (Some(CASHIER | PAYER), [true; 3]),
        (Some(ADMIN), [true; 3]),
        (Some(0), [false; 3]),
    ] {
        if let Some(roles) = roles {
            world.commit(events::ActorDefined { actor: ACTOR, roles });
        }
        number += 1;
        world.send(1, balance(number));
        let read = world.acceptor.take_read().unwrap();
        assert_eq!([5, 6, 8].map(|owner| read.scope.has(ClientId(owner))), seen, "{roles:?}");
        world.acceptor.give_up(&read);
    }
}

#[test]
fn a_page_that_means_nothing_is_refused_by_its_field() {
    let good = GetAccountTransfers {
        seq_no: RequestNumber(1),
        min_seq: Seq(0),
        linearizable: false,
        account: AccountId(4),
        counterparty: AccountId(0),
        time_from: UnixNanos(0),
        time_to: UnixNanos(0),
        from_seq: Seq(0),
        from_index: 0,
        limit: 4_096,
        code: 0,
        debits: true,
        credits: true,
        backwards: false,
    };
    let mut world = World::new(Options::default());
    world.open(1);
    world.send(1, good);
    assert_eq!(world.acceptor.take_read().unwrap().query, Query::AccountTransfers(good));
    let wrong = [
        GetAccountTransfers { limit: 0, ..good },
        GetAccountTransfers { limit: 4_097, ..good },
        GetAccountTransfers { debits: false, credits: false, ..good },
        GetAccountTransfers { time_from: UnixNanos(2), time_to: UnixNanos(1), ..good },
        GetAccountTransfers { from_seq: Seq(0), from_index: 1, ..good },
    ];
    for (n, page) in (2..).zip(wrong) {
        world.send(1, GetAccountTransfers { seq_no: RequestNumber(n), ..page });
        assert_eq!(names(&world.heard(1)), [format!("BusinessReject {n} FieldOutOfRange")]);
        assert_eq!(world.acceptor.take_read(), None);
    }
}
