package clearing

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/tongma/tongma"
	"pgregory.net/rapid"
)

// anyone is everybody, and who guarantees.
var anyone = append([]string{"guarantee"}, everybody...)

// between adds up what the list has from one to another.
func between(list []movement, window int, from, to string, c tongma.Currency) (sum int64) {
	for _, m := range list {
		if m.window == window && m.currency == c && m.from == from && m.to == to {
			sum += m.amount
		}
	}
	return sum
}

// pairNet is what from owes to by the sheet of a window: less than zero is owed; and
// what of it was paid. The agent is nobody.
func (o *oracle) pairNet(w int, from, to string, c tongma.Currency) (net, done int64) {
	switch model := o.models[w-1]; {
	case model == "" && to == "":
		net = o.net(w, from, c)
	case model == "" && from == "":
		net = -o.net(w, to, c)
	case model == "pairs" && from != to:
		net = between(o.moves, w, from, to, c) - between(o.moves, w, to, from, c)
	case model == "single" && from != to:
		if there := between(o.moves, w, from, to, c); there > 0 {
			return there, between(o.settled, w, from, to, c)
		}
		return -between(o.moves, w, to, from, c), -between(o.settled, w, to, from, c)
	}
	return net, between(o.settled, w, from, to, c) - between(o.settled, w, to, from, c)
}

// legKey names a leg, from whichever side.
func (o *oracle) legKey(w int, from, to string, c tongma.Currency) string {
	if o.models[w-1] == "single" && between(o.moves, w, from, to, c) == 0 || o.models[w-1] != "single" && from < to {
		from, to = to, from
	}
	return fmt.Sprint(w, from, to, c)
}

// sides lists who may pay whom in a window.
func (o *oracle) sides(w int) (out [][2]string) {
	for _, from := range anyone {
		if o.models[w-1] == "" {
			out = append(out, [2]string{from, ""}, [2]string{"", from})
			continue
		}
		for _, to := range anyone {
			out = append(out, [2]string{from, to})
		}
	}
	return out
}

func (o *oracle) openLegs(w int) (n int) {
	for _, side := range o.sides(w) {
		for _, c := range []tongma.Currency{tongma.CNY, tongma.JPY} {
			if net, done := o.pairNet(w, side[0], side[1], c); net != done {
				n++
			}
		}
	}
	return n
}

func (o *oracle) collecting(w int, c tongma.Currency) bool {
	for _, who := range anyone {
		if net, done := o.pairNet(w, who, "", c); o.models[w-1] == "" && net > done {
			return true
		}
	}
	return false
}

func (o *oracle) anyShort(w int, c tongma.Currency) bool {
	for _, side := range o.sides(w) {
		if o.short[o.legKey(w, side[0], side[1], c)] {
			return true
		}
	}
	return false
}

// mayBeTold says what becomes of a word.
func (o *oracle) mayBeTold(x *spoken) expectation {
	want := expectation{kind: x.kind}
	state := o.windows[x.window-1]
	settle := x.kind == KindSettle
	switch {
	case x.kind == KindCover && state == "instructed" && (x.payer == "" || x.payer == x.to || o.via(x.payer) != x.payer):
		want.reason = tongma.FieldInvalid
	case state != "instructed" && (!settle || state != "settled"):
		want.reason = tongma.StateConflict
	case x.amount <= 0, settle && x.from == "" && x.to == "", !settle && (x.from == "" || x.id == ""):
		want.reason = tongma.FieldInvalid
	}
	if want.reason != tongma.NoReason {
		return want
	}
	for _, was := range o.words {
		if was.kind == x.kind && was.window == x.window && was.id == x.id && x.id != "" {
			want.exists = true
			switch {
			case was.from != x.from || was.to != x.to:
				want.reason = tongma.ExistsOtherParticipant
			case was.amount != x.amount:
				want.reason = tongma.ExistsOtherAmount
			case was.currency != x.currency:
				want.reason = tongma.ExistsOtherCurrency
			case was.payer != x.payer:
				want.reason = tongma.ExistsOtherParticipant
			}
			return want
		}
	}
	net, done := o.pairNet(x.window, x.from, x.to, x.currency)
	switch due := net - done; {
	case o.recasting[x.window]:
		want.reason = tongma.StateConflict
	case net == 0 && done == 0:
		want.reason = tongma.SheetMismatch
	case settle && x.id == "" && due == 0 && net == x.amount:
		want.exists = true
	case settle && x.id != "" && due == 0:
		want.reason = tongma.MoreThanDue
	case x.kind == KindCover && !o.short[o.legKey(x.window, x.from, x.to, x.currency)]:
		want.reason = tongma.NotShort
	case due < 0, settle && x.id == "" && due != x.amount:
		want.reason = tongma.SheetMismatch
	case x.amount > due:
		want.reason = tongma.MoreThanDue
	case settle && x.from == "" && o.collecting(x.window, x.currency):
		want.reason = tongma.CreditsWait
	case x.kind == KindCover && x.payer == x.from && o.prefunded(x.from, x.currency) < x.amount:
		want.reason = tongma.FundsMissing
	default:
		want.write = true
	}
	return want
}

// agentSays tells the Book about a leg, most often one that is due.
func (m *machine) agentSays() {
	x := &spoken{kind: rapid.SampledFrom([]Kind{KindSettle, KindSettle, KindShort, KindCover}).Draw(m.rt, "word"), window: rapid.IntRange(1, len(m.windows)).Draw(m.rt, "window"),
		id: rapid.SampledFrom([]string{"", "", "i1", "i2", "i3", "i4", "i5", "i6", "i7"}).Draw(m.rt, "id"), currency: m.currency()}
	var due [][2]string
	if was := m.shortNow(); was != nil && rapid.IntRange(0, 2).Draw(m.rt, "who is short") > 0 {
		x.window, x.currency, due = was.window, was.currency, [][2]string{{was.from, was.to}}
		x.kind = rapid.SampledFrom([]Kind{KindCover, KindCover, KindSettle, KindShort}).Draw(m.rt, "word")
		x.id = fmt.Sprint("s", len(m.words)-rapid.IntRange(0, 2).Draw(m.rt, "again"))
	}
	for _, side := range m.sides(x.window) {
		if net, done := m.pairNet(x.window, side[0], side[1], x.currency); net > done && !strings.HasPrefix(x.id, "s") {
			due = append(due, side)
		}
	}
	if len(due) == 0 || rapid.IntRange(0, 9).Draw(m.rt, "anybody") == 0 {
		due = m.sides(x.window)
	}
	side := rapid.SampledFrom(due).Draw(m.rt, "leg")
	x.from, x.to = side[0], side[1]
	net, done := m.pairNet(x.window, x.from, x.to, x.currency)
	x.amount = rapid.SampledFrom([]int64{net - done, net - done, (net - done) / 2, net - done + 1, net, 0}).Draw(m.rt, "amount")
	e := Entry{Kind: x.kind, Window: tongma.WindowID(x.window), Debtor: tongma.ParticipantID(x.from), Creditor: tongma.ParticipantID(x.to), SchemeRef: x.id,
		Amount: tongma.Money{Minor: x.amount, Currency: x.currency}}
	if x.kind == KindCover {
		x.payer = rapid.SampledFrom([]string{x.from, x.from, "bank-b", "guarantee", ""}).Draw(m.rt, "payer")
		e.Creditor, e.Asker = tongma.ParticipantID(x.payer), e.Creditor
	}
	want := m.mayBeTold(x)
	if m.tell(e, want); want.write {
		m.told(x)
	}
}

// hardTimes closes a window in which somebody owes, and finds it short.
func (m *machine) hardTimes() {
	w := m.open[""]
	m.tell(Entry{Kind: KindClose}, expectation{write: true, kind: KindClose})
	m.windows[w-1] = "closed"
	m.begin("")
	m.instructOne(w)
	for _, who := range everybody {
		for _, c := range []tongma.Currency{tongma.CNY, tongma.JPY} {
			net, done := m.pairNet(w, who, "", c)
			x := &spoken{kind: KindShort, window: w, id: "hard", from: who, currency: c, amount: net - done}
			if net <= done {
				continue
			}
			want := m.mayBeTold(x)
			m.tell(Entry{Kind: x.kind, Window: tongma.WindowID(w), Debtor: tongma.ParticipantID(who), SchemeRef: x.id, Amount: tongma.Money{Minor: x.amount, Currency: c}}, want)
			if want.write {
				m.told(x)
			}
			return
		}
	}
}

// shortNow returns the last word by which somebody is short, if anybody is.
func (m *machine) shortNow() *spoken {
	for i := len(m.words) - 1; i >= 0; i-- {
		if x := &m.words[i]; x.kind == KindShort && m.short[m.legKey(x.window, x.from, x.to, x.currency)] {
			return x
		}
	}
	return nil
}

func (m *machine) told(x *spoken) {
	m.words = append(m.words, *x)
	key := m.legKey(x.window, x.from, x.to, x.currency)
	if x.kind == KindShort {
		m.short[key], m.suspended[x.from] = true, true
		return
	}
	paid := movement{window: x.window, from: x.from, to: x.to, currency: x.currency, amount: x.amount}
	m.settled = append(m.settled, paid)
	if net, done := m.pairNet(x.window, x.from, x.to, x.currency); net == done {
		delete(m.short, key)
	}
	switch {
	case x.kind == KindCover && x.payer == x.from:
		m.used = append(m.used, paid)
	case x.kind == KindCover:
		paid.window, paid.to = m.open[m.models[x.window-1]], x.payer // no names: neither has a sponsor
		m.moves = append(m.moves, paid)
	}
}

// paidAlready tells whether a gross window would have less to pay than was paid.
func (m *machine) paidAlready(x *transfer, w int) bool {
	for _, c := range []tongma.Currency{tongma.CNY, tongma.JPY} {
		for _, from := range anyone {
			for _, to := range anyone {
				var all, its int64
				for _, v := range m.moves {
					if v.window == w && v.from == from && v.to == to && v.currency == c {
						all += v.amount
						if v.of == x {
							its += v.amount
						}
					}
				}
				if from != to && its > 0 && all-its < between(m.settled, w, from, to, c) {
					return true
				}
			}
		}
	}
	return false
}

func (m *machine) deferOne() {
	if len(m.transfers) == 0 {
		m.rt.Skip()
	}
	x, w := rapid.SampledFrom(m.transfers).Draw(m.rt, "payment"), rapid.IntRange(1, len(m.windows)).Draw(m.rt, "window")
	for _, at := range slices.Sorted(maps.Keys(x.seen)) {
		if rapid.IntRange(0, 3).Draw(m.rt, "where it was") > 0 {
			w = max(w, at)
		}
	}
	if was := m.shortNow(); was != nil && rapid.Bool().Draw(m.rt, "where somebody is short") {
		w = was.window
		for _, v := range m.moves {
			if v.of != nil && v.window == w && rapid.Bool().Draw(m.rt, "this one") {
				x = v.of
			}
		}
	}
	here := false
	for _, v := range m.moves {
		here = here || (v.of == x && v.window == w)
	}
	want := expectation{kind: KindDefer}
	switch {
	case m.windows[w-1] != "instructed":
		want.reason = tongma.StateConflict
	case !here && x.seen[w]:
		want.exists = true
	case !here:
		want.reason = tongma.StateConflict
	case !m.anyShort(w, x.currency) && (x.dealer == "" || !m.anyShort(w, x.targetCurrency)) && !m.recasting[w]:
		want.reason = tongma.NotShort
	case m.models[w-1] == "single" && m.paidAlready(x, w):
		want.reason = tongma.StateConflict
	default:
		want.write = true
	}
	m.tell(Entry{Kind: KindDefer, Payment: x.id, Window: tongma.WindowID(w)}, want)
	if !want.write {
		return
	}
	m.recasting[w] = true
	to := m.open[m.models[w-1]]
	x.seen[to] = true
	for i := range m.moves {
		if v := &m.moves[i]; v.of == x && v.window == w {
			v.window = to
		}
	}
}

func (m *machine) recast() {
	w := rapid.IntRange(1, len(m.windows)).Draw(m.rt, "window")
	for at := range m.windows {
		if m.recasting[at+1] {
			w = at + 1
		}
	}
	want := expectation{kind: KindRecast}
	switch {
	case m.windows[w-1] != "instructed":
		want.reason = tongma.StateConflict
	case !m.recasting[w]:
		want.exists = true
	default:
		want.write = true
	}
	m.tell(Entry{Kind: KindRecast, Window: tongma.WindowID(w)}, want)
	if !want.write {
		return
	}
	m.recasting[w] = false
	for _, side := range m.sides(w) {
		for _, c := range []tongma.Currency{tongma.CNY, tongma.JPY} {
			delete(m.short, m.legKey(w, side[0], side[1], c))
		}
	}
}

// agreeOnLegs holds the legs of a sheet, and the postings that a window lists,
// against the lists.
func (m *machine) agreeOnLegs(s *Sheet) {
	w := int(s.Window)
	for _, l := range s.Legs {
		if net, done := m.pairNet(w, string(l.Debtor), string(l.Creditor), l.Currency); l.Net != net || l.Settled != done || l.Due != net-done {
			m.rt.Fatalf("%s: the Book says %+v, the oracle %d of %d", s.Window, l, done, net)
		}
	}
	if s.Recasting != m.recasting[w] {
		m.rt.Fatalf("%s: recasting %t, the oracle says %t", s.Window, s.Recasting, m.recasting[w])
	}
	m.readInParts(s.Window)
	sums := map[string]int64{}
	add := func(from, to string, c tongma.Currency, minor int64) { sums[from+" to "+to+" in "+c.Code()] += minor }
	m.book.WindowPayments(s.Window, func(it WindowItem) bool {
		if it.DeferredTo == 0 {
			if it.Dealer != "" {
				add(string(it.Payer), string(it.Through), it.Amount.Currency, it.Amount.Minor)
				add(string(it.Through), string(it.Payee), it.Target.Currency, it.Target.Minor)
			} else {
				add(string(it.Payer), string(it.Payee), it.Amount.Currency, it.Amount.Minor)
			}
			for _, l := range it.Legs {
				add(string(l.From), string(l.To), l.Amount.Currency, l.Amount.Minor)
			}
		}
		return true
	})
	for _, v := range m.moves {
		if v.window == w {
			add(v.from, v.to, v.currency, -v.amount)
		}
	}
	for pair, sum := range sums {
		if sum != 0 {
			m.rt.Fatalf("%s: the postings from %s differ by %d", s.Window, pair, sum)
		}
	}
}
