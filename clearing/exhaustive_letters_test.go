package clearing

import (
	"fmt"
	"slices"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing/dispute"
)

// always is a letter that is asked wherever there is a payment n; zero is anywhere.
func always(name string, n uint64, e Entry) letter {
	return letter{name, func(b *Book) (Entry, int64, bool) {
		if n == 0 {
			return e, b.Clock(), true
		}
		_, ok := b.Payment(testID(n))
		return e, b.Clock(), ok
	}}
}

// life of a hold that may expire, and the moment after it.
const holdMillis = 1000

// pays are the letters of one payment: asked for, asked for again as another,
// and all that may become of it.
func pays(e Entry, n uint64, part int64, legs ...Leg) []letter {
	e.Payment, e.Key = testID(n), testID(n).String()
	name := func(what string) string { return fmt.Sprintf("%s %d", what, n) }
	to := func(kind Kind) Entry { return Entry{Kind: kind, Payment: e.Payment} }
	full, some, void, other := to(KindPost), to(KindPost), to(KindVoid), e
	some.Amount, some.Legs = tongma.Money{Minor: part, Currency: e.Amount.Currency}, legs
	other.Amount.Minor++
	void.KeepCode = true
	out := []letter{
		{name("hold"), func(b *Book) (Entry, int64, bool) {
			held := e
			if e.Expiry != 0 {
				held.Expiry = b.Clock() + holdMillis
			}
			return held, b.Clock(), true
		}},
		always(name("hold otherwise"), n, other), always(name("pend"), n, to(KindPend)), always(name("post"), n, full), always(name("post part of"), n, some),
		always(name("void"), n, void), always(name("reversing"), n, to(KindReversing)), always(name("reversed"), n, to(KindReversed)),
	}
	if e.Expiry != 0 {
		out = append(out, always(name("expire early"), n, to(KindExpire)), letter{name("expire"), func(b *Book) (Entry, int64, bool) {
			p, ok := b.Payment(e.Payment)
			return to(KindExpire), max(b.Clock(), p.Expiry+1), ok
		}})
	}
	return out
}

// settles are the letters of so many windows, and of who may settle in them.
func settles(windows int, who []tongma.ParticipantID, cs ...tongma.Currency) []letter {
	out := []letter{{"close", func(b *Book) (Entry, int64, bool) {
		return Entry{Kind: KindClose}, b.Clock(), len(b.windows) <= windows
	}}}
	for w := range tongma.WindowID(windows) {
		w++
		there := func(e Entry) func(b *Book) (Entry, int64, bool) {
			return func(b *Book) (Entry, int64, bool) { return e, b.Clock(), b.window(w) != nil }
		}
		out = append(out, letter{fmt.Sprintf("instruct %d", w), there(Entry{Kind: KindInstruct, Window: w})},
			letter{fmt.Sprintf("settled %d", w), there(Entry{Kind: KindSettled, Window: w})})
		for _, p := range who {
			for _, c := range cs {
				out = append(out, legLetter(w, p, c, 0), legLetter(w, p, c, 1))
			}
		}
	}
	return out
}

// legLetter confirms a leg of a sheet, or one that is wrong by so much.
func legLetter(w tongma.WindowID, who tongma.ParticipantID, c tongma.Currency, wrongBy int64) letter {
	return letter{fmt.Sprintf("leg %d %s %s wrong by %d", w, who, c.Code(), wrongBy), func(b *Book) (Entry, int64, bool) {
		sheet, ok := b.Sheet(w)
		if !ok || sheet.State == WindowOpen {
			return Entry{}, 0, false
		}
		for _, in := range Instruct(sheet) {
			if in.Participant == who && in.Amount.Currency == c {
				in.Amount.Minor += wrongBy
				return in.Confirm(), b.Clock(), true
			}
		}
		return Entry{}, 0, false
	}}
}

func letters(lists ...[]letter) []letter { return slices.Concat(lists...) }

// due is a letter about what is due of somebody's leg, changed by set. Its id is the
// instruction's, with an addition.
func due(name string, w tongma.WindowID, who tongma.ParticipantID, addition string, set func(*Entry)) letter {
	return letter{name, func(b *Book) (Entry, int64, bool) {
		sheet, ok := b.Sheet(w)
		if !ok || sheet.State == WindowOpen {
			return Entry{}, 0, false
		}
		for _, in := range Instruct(sheet) {
			if in.Participant == who && in.Amount.Currency == tongma.CNY {
				e := in.Confirm()
				e.Hash, e.SchemeRef = [32]byte{}, in.ID+addition
				set(&e)
				return e, b.Clock(), true
			}
		}
		return Entry{}, 0, false
	}}
}

func closes(model string, windows int) letter {
	return letter{"close " + model, func(b *Book) (Entry, int64, bool) {
		return Entry{Kind: KindClose, Model: model}, b.Clock(), len(b.windows) <= windows
	}}
}

// quarrels are the letters of a dispute of payment 1.
func quarrels(n uint64, minor int64) []letter {
	return quarrelsOver(n, tongma.Money{Minor: minor, Currency: tongma.CNY})
}

func quarrelsOver(n uint64, m tongma.Money) []letter {
	e := Entry{Kind: KindDispute, Payment: testID(n), Key: testID(n).String(), Asker: "bank-a", Original: testID(1), Amount: m}
	if m.Currency == tongma.CNY {
		e.Model = "disputes"
	}
	wrong := e
	wrong.Asker = "shop-b"
	out := []letter{{fmt.Sprintf("dispute %d", n), func(b *Book) (Entry, int64, bool) {
		raised := e
		raised.Expiry = b.Clock() + holdMillis
		return raised, b.Clock(), true
	}}, always(fmt.Sprintf("dispute %d by the other", n), 0, wrong)}
	step := func(stage dispute.Stage, who tongma.ParticipantID, maker, checker string) letter {
		return letter{fmt.Sprintf("%d %s by %s%s%s", n, stage, who, maker, checker), func(b *Book) (Entry, int64, bool) {
			_, ok := b.Dispute(testID(n))
			s := Entry{Kind: KindDisputeStep, Payment: testID(n), Stage: stage, Asker: who, Maker: maker, Checker: checker}
			if stage.Timed() {
				s.Expiry = b.Clock() + holdMillis
			}
			return s, b.Clock(), ok
		}}
	}
	late := func(stage dispute.Stage) letter {
		return letter{fmt.Sprintf("%d %s, too late", n, stage), func(b *Book) (Entry, int64, bool) {
			d, ok := b.Dispute(testID(n))
			return Entry{Kind: KindDisputeStep, Payment: testID(n), Stage: stage}, max(b.Clock(), d.Deadline+1), ok
		}}
	}
	return append(out, step(dispute.Represented, "shop-b", "", ""), step(dispute.PreArbitration, "bank-a", "", ""), step(dispute.Arbitration, "shop-b", "", ""), step(dispute.Accepted, "shop-b", "", ""),
		step(dispute.Accepted, "bank-a", "", ""), step(dispute.Withdrawn, "bank-a", "", ""), step(dispute.UpholdProposed, "", "ann", ""), step(dispute.RejectProposed, "", "ann", ""), step(dispute.Upheld, "", "", "bob"),
		step(dispute.Upheld, "", "", "ann"), step(dispute.Rejected, "", "", "bob"), step(dispute.Arbitration, "", "", "bob"), step(dispute.DeemedAccepted, "", "", ""), late(dispute.DeemedAccepted), late(dispute.DeemedWithdrawn))
}

// pairs are the letters of settling between pairs.
func pairs(windows int, who ...tongma.ParticipantID) (out []letter) {
	for w := range tongma.WindowID(windows) {
		w++
		out = append(out, always(fmt.Sprintf("instruct %d", w), 0, Entry{Kind: KindInstruct, Window: w}), always(fmt.Sprintf("settled %d", w), 0, Entry{Kind: KindSettled, Window: w}))
		for _, p := range who {
			out = append(out, due(fmt.Sprintf("%s pays in %d", p, w), w, p, "", func(*Entry) {}))
		}
	}
	return out
}

// shortages are the letters of a debtor that cannot pay.
func shortages(w tongma.WindowID, who, payer tongma.ParticipantID) []letter {
	out := []letter{
		due("short", w, who, "", func(e *Entry) { e.Kind = KindShort }),
		due("part", w, who, "", func(e *Entry) { e.Amount.Minor = (e.Amount.Minor + 1) / 2 }),
		due("too much", w, who, "", func(e *Entry) { e.Amount.Minor++ }),
		due("own cover", w, who, "c", func(e *Entry) { e.Kind, e.Creditor, e.Amount.Minor = KindCover, who, min(e.Amount.Minor, 10) }),
		due("too much cover", w, who, "d", func(e *Entry) { e.Kind, e.Creditor, e.Amount.Minor = KindCover, payer, e.Amount.Minor+1 }),
		due("cover", w, who, "c", func(e *Entry) { e.Kind, e.Creditor, e.Amount.Minor = KindCover, payer, (e.Amount.Minor+1)/2 }),
		due("cover for who is not short", w, payer, "c", func(e *Entry) { e.Kind, e.Debtor, e.Creditor = KindCover, payer, who }),
		always("recast", 0, Entry{Kind: KindRecast, Window: w}),
	}
	for n := range uint64(3) {
		out = append(out, always(fmt.Sprintf("defer %d", n+1), n+1, Entry{Kind: KindDefer, Window: w, Payment: testID(n + 1)}))
	}
	return out
}

// byHand are the letters of a debtor that is short, whom others are asked to pay for,
// while people say what the agent does.
func byHand(w tongma.WindowID, who, payer tongma.ParticipantID) []letter {
	cover := func(k Kind) func(*Entry) {
		return func(e *Entry) {
			e.Kind, e.Creditor, e.SchemeRef, e.Amount.Minor = k, payer, "c", min(e.Amount.Minor, 20)
		}
	}
	said := func(set func(*Entry), refused bool) func(*Entry) {
		return func(e *Entry) {
			set(e)
			if e.Kind, e.Maker, e.Key = KindWord, "ann", "statement"; refused {
				e.Reason = tongma.AgentRejected
			}
		}
	}
	agreed := func(set func(*Entry), by string) func(*Entry) {
		return func(e *Entry) {
			set(e)
			e.Checker, e.Key = by, "statement"
		}
	}
	paysIn, short := func(e *Entry) { e.SchemeRef = "i" }, func(e *Entry) { e.Kind, e.SchemeRef = KindShort, "i" }
	again := func(k Kind) func(*Entry) { return func(e *Entry) { e.Kind, e.SchemeRef = k, "r" } }
	return []letter{due("short", w, who, "", short), due("tried again", w, who, "", again(KindRetry)), due("pays, tried again", w, who, "", again(KindSettle)), due("short, tried again", w, who, "", again(KindShort)),
		due("pays", w, who, "", paysIn), due("asked", w, who, "", cover(KindCoverAsked)), due("covered", w, who, "", cover(KindCover)),
		due("not covered", w, who, "", cover(KindCoverRefused)), due("ann says that it pays", w, who, "", said(paysIn, false)), due("ann says that it is short", w, who, "", said(short, true)),
		due("ann says that it is covered", w, who, "", said(cover(KindCover), false)), due("ann says that it is not", w, who, "", said(cover(KindCoverRefused), true)),
		due("ben agrees that it pays", w, who, "", agreed(paysIn, "ben")), due("ann agrees with herself", w, who, "", agreed(paysIn, "Ann ")), due("ben agrees that it is short", w, who, "", agreed(short, "ben")),
		due("ben agrees that it is covered", w, who, "", agreed(cover(KindCover), "ben")), due("ben agrees that it is not", w, who, "", agreed(cover(KindCoverRefused), "ben")),
		always("ann takes it back", 0, Entry{Kind: KindWordRejected, Window: w, SchemeRef: "i", Checker: "ann"}), always("ben takes the cover back", 0, Entry{Kind: KindWordRejected, Window: w, SchemeRef: "c", Checker: "ben"}),
		always("defer", 1, Entry{Kind: KindDefer, Window: w, Payment: testID(1), SchemeRef: "CNY"}), always("recast", 0, Entry{Kind: KindRecast, Window: w}), closes("", 3),
		always("instruct 2", 0, Entry{Kind: KindInstruct, Window: 2}), due("short again", 2, who, "", func(e *Entry) { e.Kind = KindShort }),
		always("defer the cover", 0, Entry{Kind: KindDefer, Window: 2, SchemeRef: "c"}), always("recast 2", 0, Entry{Kind: KindRecast, Window: 2}), always("settled", 0, Entry{Kind: KindSettled, Window: w})}
}
