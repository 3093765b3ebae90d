package clearing

import (
	"cmp"
	"slices"

	"github.com/tongma/tongma"
)

// ExplainLine is one entry behind a position or its holds.
type ExplainLine struct {
	Entry    uint64
	Kind     Kind
	Payment  tongma.PaymentID // zero if it is about none
	Amount   tongma.Money     // of the entry
	Other    tongma.ParticipantID
	Window   tongma.WindowID // that it counts in; of a hold, the one it was asked in
	Position int64           // what it adds to the position, with its fees
	Reserved int64           // what it adds to the holds
}

// Explanation is the entries behind a position: its lines and Earlier add up to
// Position and Reserved exactly. Windows that are settled add nothing, and are left
// out. Of a sub-participant it is the memo account: what it adds to its sponsor's.
type Explanation struct {
	Participant tongma.ParticipantID
	Currency    tongma.Currency
	Position    int64
	Reserved    int64
	Lines       []ExplainLine // in the order of the journal
	Earlier     ExplainSum    // lines before those, if they were more than asked for
}

// ExplainSum adds up lines that are not shown.
type ExplainSum struct {
	Lines, Position, Reserved int64
}

// Explain returns the entries behind a participant's position and holds in one
// currency: the latest limit of them, all if limit is zero; the others are added up.
// It goes through all windows that are not settled, and takes as long as they are large.
func (b *Book) Explain(who tongma.ParticipantID, c tongma.Currency, limit int) Explanation {
	a := b.standing(who, c)
	x := explainer{Explanation: Explanation{Participant: who, Currency: c, Position: a.position, Reserved: a.reserved}, limit: limit}
	n, known := b.numbers[string(who)]
	if !known || n == noName {
		return x.Explanation
	}
	x.b, x.who = b, n
	if x.memo = b.sponsored(who); x.memo {
		m, _ := b.memoNow(n, c)
		x.Position, x.Reserved = m.position, m.reserved
	}
	for _, w := range b.windows {
		if w.state != WindowSettled {
			x.window(w)
		}
	}
	x.holds()
	x.elsewhere()
	x.cut(0)
	return x.Explanation
}

type explainer struct {
	Explanation
	b     *Book
	who   uint16
	memo  bool // who is a sub-participant
	limit int
}

// add keeps a line, if it says anything.
func (x *explainer) add(l ExplainLine) {
	if l.Position == 0 && l.Reserved == 0 {
		return
	}
	if x.Lines = append(x.Lines, l); x.limit > 0 && len(x.Lines) >= 2*x.limit+1024 {
		x.cut(x.limit)
	}
}

// cut sums up all but the latest lines; those that may still come are as many more.
func (x *explainer) cut(spare int) {
	slices.SortStableFunc(x.Lines, func(p, q ExplainLine) int { return cmp.Compare(p.Entry, q.Entry) })
	if x.limit == 0 || len(x.Lines) <= x.limit+spare {
		return
	}
	gone := len(x.Lines) - x.limit - spare
	for _, l := range x.Lines[:gone] {
		x.Earlier.Lines++
		x.Earlier.Position += l.Position
		x.Earlier.Reserved += l.Reserved
	}
	x.Lines = append([]ExplainLine(nil), x.Lines[gone:]...)
}

// side is what a movement does to the position that is explained.
func (x *explainer) side(from, to uint16, minor int64) (effect int64) {
	from, to = x.settler(from), x.settler(to)
	if from == x.who {
		effect += minor
	}
	if to == x.who {
		effect -= minor
	}
	return effect
}

// settler is who a movement counts for: of a window that is not settled, nobody's
// sponsor has changed.
func (x *explainer) settler(n uint16) uint16 {
	if x.memo {
		return n
	}
	return x.b.settler(n)
}

func (x *explainer) other(from, to uint16) tongma.ParticipantID {
	if x.settler(from) == x.who {
		return tongma.ParticipantID(x.b.names[to])
	}
	return tongma.ParticipantID(x.b.names[from])
}

// window adds what was posted into a window that is not settled, and what of it was.
func (x *explainer) window(w *window) {
	for _, it := range w.items {
		p := x.b.payments.at(it.payment & itemPayment)
		if w.holds(it, p) {
			x.posting(w, it, p)
		}
	}
	for _, d := range w.debts {
		if d.currency == x.Currency && d.deferredTo == 0 {
			x.add(ExplainLine{Entry: d.entry, Kind: d.kind(), Payment: d.dispute, Amount: tongma.Money{Minor: d.minor, Currency: d.currency}, Other: x.other(d.from, d.to), Window: w.id, Position: x.side(d.from, d.to, d.minor)})
		}
	}
	if x.memo { // others settle for it
		return
	}
	for _, t := range w.told {
		if t.currency == x.Currency && (t.kind == KindSettle || t.kind == KindCover) {
			x.add(ExplainLine{Entry: t.entry, Kind: t.kind, Amount: tongma.Money{Minor: t.minor, Currency: t.currency}, Other: x.other(t.from, t.to), Window: w.id, Position: -x.side(t.from, t.to, t.minor)})
		}
	}
}

func (x *explainer) posting(w *window, it item, p *payment) {
	kind, effect := KindPost, int64(0)
	back := it.payment&itemBack != 0
	x.b.movements(p, back, func(m moving) {
		if m.currency == x.Currency {
			effect += x.side(m.from, m.to, m.minor)
		}
	})
	switch {
	case it.payment&itemDeferred != 0:
		kind = KindDefer
	case back:
		kind = KindReversed
	}
	x.add(ExplainLine{Entry: w.opened + uint64(it.behind), Kind: kind, Payment: p.id, Amount: tongma.Money{Minor: p.moved(), Currency: p.currency},
		Other: x.other(p.debtor, p.creditor), Window: w.id, Position: effect})
}

// elsewhere adds, as one line, what comes of no window of this shard: room that was
// carried to or from another, and against what was gathered of others.
func (x *explainer) elsewhere() {
	sum := x.b.shards.carried[accountKey{x.who, x.Currency}]
	kind := KindCarryIn
	if sum.minor > 0 {
		kind = KindCarryOut
	}
	x.add(ExplainLine{Entry: sum.entry, Kind: kind, Amount: tongma.Money{Minor: sum.minor, Currency: x.Currency}, Position: sum.minor})
}

// holds adds the open holds, each by its latest entry.
func (x *explainer) holds() {
	for i := int(x.b.low); i < x.b.payments.len(); i++ {
		p := x.b.payments.at(uint32(i))
		if p.final() || p.posted {
			continue
		}
		held := int64(0)
		if x.settler(p.debtor) == x.who && p.currency == x.Currency {
			held = p.amount
		}
		if c := x.b.crossOf(p); c != nil && x.settler(c.dealer) == x.who && c.currency == x.Currency {
			held += c.target
		}
		x.add(ExplainLine{Entry: p.entry, Kind: p.phase, Payment: p.id, Amount: tongma.Money{Minor: p.amount, Currency: p.currency},
			Other: tongma.ParticipantID(x.b.names[p.creditor]), Window: tongma.WindowID(p.authWindow), Reserved: held})
	}
}
