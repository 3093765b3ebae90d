package clearing

import (
	"github.com/tongma/tongma"
)

// sponsorship is a sub-participant that settles through a sponsor from an entry on;
// noName ends it.
type sponsorship struct {
	entry        uint64
	sub, sponsor uint16
}

// memo is what a sub-participant adds to its sponsor's account. It is a limit and a
// report: what nets and settles is the sponsor's account.
type memo struct {
	position, reserved int64
}

// settler returns who settles for a participant: itself, unless it has a sponsor.
func (b *Book) settler(n uint16) uint16 {
	if len(b.sponsors) > 0 {
		if sponsor, sub := b.sponsors[n]; sub {
			return sponsor
		}
	}
	return n
}

// settlerAt is settler as it was behind an entry.
func (b *Book) settlerAt(n uint16, entry uint64) uint16 {
	out := n
	for _, s := range b.sponsorships {
		if s.entry > entry {
			break
		}
		if s.sub == n {
			if out = s.sponsor; out == noName {
				out = n
			}
		}
	}
	return out
}

// memoNow returns a sub-participant's memo account as it stands; false if it has no
// sponsor.
func (b *Book) memoNow(n uint16, c tongma.Currency) (memo, bool) {
	if len(b.sponsors) == 0 {
		return memo{}, false
	}
	_, sub := b.sponsors[n]
	if m := b.memos[accountKey{n, c}]; sub && m != nil {
		return *m, true
	}
	return memo{}, sub
}

// memoOf returns a sub-participant's memo account, to be changed; nil if it has no
// sponsor.
func (b *Book) memoOf(n uint16, c tongma.Currency) *memo {
	if _, sub := b.memoNow(n, c); !sub {
		return nil
	}
	k := accountKey{n, c}
	if b.memos[k] == nil {
		b.memos[k] = &memo{}
		b.account(n, c) // so that it is shown
	}
	return b.memos[k]
}

// windowMemo is a window's part of a memo account.
type windowMemo struct {
	minor int64
	count int64 // movements
}

// note adds a movement to the memo accounts of its two sides, and to what of them
// goes when the window is settled; or takes it out again.
func (b *Book) note(w *window, from, to uint16, c tongma.Currency, minor int64, out bool) {
	count := int64(1)
	if out {
		minor, count = -minor, -1
	}
	b.noteOne(w, from, c, minor, count)
	b.noteOne(w, to, c, -minor, count)
}

func (b *Book) noteOne(w *window, n uint16, c tongma.Currency, minor, count int64) {
	m := b.memoOf(n, c)
	if m == nil {
		return
	}
	m.position += minor
	if w.memos == nil {
		w.memos = map[accountKey]windowMemo{}
	}
	k := accountKey{n, c}
	part := w.memos[k]
	part.minor, part.count = part.minor+minor, part.count+count
	if w.memos[k] = part; part.count == 0 {
		delete(w.memos, k)
	}
}

// settleMemos takes a settled window's part off the memo accounts.
func (b *Book) settleMemos(w *window) {
	for k, part := range w.memos {
		if m := b.memos[k]; m != nil {
			m.position -= part.minor
		}
	}
}

// proposeSponsor decides on who settles for whom. The reasons, in their order:
//
//	FieldInvalid (no sub-participant, or itself); what stands already: Exists; StateConflict (a sponsor has a sponsor, or a
//	sub-participant would be one); PositionsOpen
func (b *Book) proposeSponsor(e *Entry) Verdict {
	sub, known := b.numbers[string(e.Debtor)]
	if e.Debtor == "" || e.Debtor == e.Creditor {
		return Verdict{Reason: tongma.FieldInvalid}
	}
	now, has := b.sponsors[sub]
	if has = has && known; has == (e.Creditor != "") && (!has || b.names[now] == string(e.Creditor)) {
		return Verdict{Exists: true}
	}
	sponsor, heard := b.numbers[string(e.Creditor)]
	if _, sponsored := b.sponsors[sponsor]; (heard && sponsored) || (known && e.Creditor != "" && b.isSponsor(sub)) {
		return Verdict{Reason: tongma.StateConflict}
	}
	if known && b.busy(sub) {
		return Verdict{Reason: tongma.PositionsOpen}
	}
	return Verdict{Write: true}
}

// sponsored tells whether somebody settles through another.
func (b *Book) sponsored(who tongma.ParticipantID) bool {
	n, known := b.numbers[string(who)]
	_, sub := b.sponsors[n]
	return known && sub
}

func (b *Book) isSponsor(n uint16) bool {
	for _, sponsor := range b.sponsors {
		if sponsor == n {
			return true
		}
	}
	return false
}

// busy tells whether a participant has holds, or stands in a window that is not
// settled, by itself or through its sponsor.
func (b *Book) busy(n uint16) bool {
	for k, a := range b.accounts {
		if m := b.memos[k]; k.participant == n && (a.position != 0 || a.reserved != 0 || (m != nil && (m.position != 0 || m.reserved != 0))) {
			return true
		}
	}
	for k, m := range b.memos {
		if k.participant == n && (m.position != 0 || m.reserved != 0) {
			return true
		}
	}
	for _, w := range b.windows {
		if w.state == WindowSettled {
			continue
		}
		for k := range w.memos {
			if k.participant == n {
				return true
			}
		}
		for k := range w.flows {
			if k.debtor == n || k.creditor == n {
				return true
			}
		}
	}
	return false
}

func (b *Book) applySponsor(e *Entry) error {
	again := *e
	if v := b.proposeSponsor(&again); !v.Write {
		return b.broken(e, "no Book would have proposed it")
	}
	sub, sponsor := b.number(string(e.Debtor)), uint16(noName)
	delete(b.sponsors, sub)
	if e.Creditor != "" {
		sponsor = b.number(string(e.Creditor))
		b.sponsors[sub] = sponsor
	}
	b.sponsorships = append(b.sponsorships, sponsorship{e.Number, sub, sponsor})
	return nil
}

// room tells whether a debtor's amount fits within a limit, and which part of the
// limit that reaches.
func room(position, reserved, limit, minor int64) (tongma.Reason, uint8) {
	before, ok := addChecked(position, reserved)
	use := before
	if ok {
		use, ok = addChecked(before, minor)
	}
	switch {
	case !ok:
		return tongma.PositionOverflow, 0
	case use > limit:
		return tongma.OverCap, 0
	}
	return tongma.NoReason, crossed(before, use, limit)
}
