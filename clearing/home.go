package clearing

import (
	"cmp"
	"slices"

	"github.com/tongma/tongma"
)

// proposeHome decides on where a participant is at home from now on. The shard that it
// is at home in lets it go first: from that entry on nothing of it is held there, and
// its caps and its prefunding leave with it. The shard that it goes to takes it in with
// what left, and others only note it. Whoever settles through a sponsor is at home with
// it. The reasons, in their order:
//
//	FieldInvalid: no such shard, a sub-participant, or no number; an older move, or the same again: Exists;
//	of the shard that lets it go: StateConflict (not its next move), PositionsOpen (sub-participants of it have payments that
//	are not settled)
func (b *Book) proposeHome(e *Entry) Verdict {
	if e.Shard == 0 || e.Shard > b.shards.count || IsTransit(e.Debtor) || b.sponsored(e.Debtor) || e.Sequence == 0 {
		return Verdict{Reason: tongma.FieldInvalid}
	}
	at, moves := b.Home(e.Debtor)
	if e.Sequence <= moves {
		return Verdict{Exists: true}
	}
	switch {
	case at == b.shards.self && e.Shard != b.shards.self:
		if e.Sequence != moves+1 {
			return Verdict{Reason: tongma.StateConflict}
		}
		if b.subsOpen(e.Debtor) {
			return Verdict{Reason: tongma.PositionsOpen}
		}
		e.Terms = b.termsOf(e.Debtor)
	case e.Shard != b.shards.self || at == b.shards.self:
		e.Terms = nil
	}
	return Verdict{Write: true}
}

// termsOf returns what goes with a participant that moves, by currency.
func (b *Book) termsOf(who tongma.ParticipantID) (out []Terms) {
	n, known := b.numbers[string(who)]
	for k, a := range b.accounts {
		if known && k.participant == n && a.capped {
			out = append(out, Terms{k.currency, a.cap, a.directed, a.prefunding})
		}
	}
	slices.SortFunc(out, func(x, y Terms) int { return cmp.Compare(x.Currency, y.Currency) })
	return out
}

// subsOpen tells whether somebody that settles through a participant has anything in
// its memo account.
func (b *Book) subsOpen(who tongma.ParticipantID) bool {
	n := b.numbers[string(who)]
	for k, m := range b.memos {
		if sponsor, sub := b.sponsors[k.participant]; sub && sponsor == n && (m.position != 0 || m.reserved != 0) {
			return true
		}
	}
	return false
}

func (b *Book) applyHome(e *Entry) {
	at := b.homeOf(e.Debtor)
	n := b.number(string(e.Debtor))
	if b.shards.homes == nil {
		b.shards.homes = map[uint16]home{}
	}
	now := home{shard: e.Shard, moves: e.Sequence, since: e.Time}
	leaves, comes := at == b.shards.self && e.Shard != at, at != b.shards.self && e.Shard == b.shards.self
	if leaves {
		now.left, now.terms = true, e.Terms
	}
	for _, t := range e.Terms {
		a := b.account(n, t.Currency)
		a.capped, a.capAt = true, e.Number
		switch {
		case leaves:
			a.cap, a.directed = 0, 0
			a.prefunding -= t.Prefund
		case comes:
			a.cap, a.directed = t.Cap, t.Directed
			a.prefunding += t.Prefund
		}
	}
	b.shards.homes[n] = now
}

// Former returns the shards in which somebody who is at home here may have spent codes
// that are not forgotten yet, and how often it has moved: none if its latest move is two
// days past, in days of UTC. What it had before it ever moved is where its id says.
func (b *Book) Former(who tongma.ParticipantID) (shards []uint16, moves uint64) {
	n, known := b.numbers[string(who)]
	if !known || !b.sharded() {
		return nil, 0
	}
	n = b.settler(n)
	h, moved := b.shards.homes[n]
	if !moved || h.shard != b.shards.self || b.clock/day-h.since/day > 1 {
		return nil, h.moves
	}
	first := HomeOf(tongma.ParticipantID(b.names[n]), b.shards.spread)
	for s := uint16(1); s <= b.shards.count; s++ {
		if s != b.shards.self && (h.moves > 1 || s == first) {
			shards = append(shards, s)
		}
	}
	return shards, h.moves
}

// Spent tells whether a payer's code was spent here today or yesterday, in days of UTC.
func (b *Book) Spent(code Digest) bool { return code != (Digest{}) && b.spent(code) }

// Move is where a participant is at home since it last moved.
type Move struct {
	Participant tongma.ParticipantID
	Shard       uint16
	Moves       uint64  // how often it has moved
	Left        bool    // it left this shard by that move
	Terms       []Terms // what went with it; not to be changed
}

// Moves returns where everybody is at home who has ever moved, by name.
func (b *Book) Moves() []Move {
	var out []Move
	for n, h := range b.shards.homes {
		out = append(out, Move{tongma.ParticipantID(b.names[n]), h.shard, h.moves, h.left, h.terms})
	}
	slices.SortFunc(out, func(x, y Move) int { return cmp.Compare(x.Participant, y.Participant) })
	return out
}

// SuspendedHere returns whom a person suspended, or who did not pay, by name; those
// not that are suspended here by the head's word.
func (b *Book) SuspendedHere() []tongma.ParticipantID { return b.suspendedNames(false) }

// SuspendedByHead returns whom the head's word suspends here, by name.
func (b *Book) SuspendedByHead() []tongma.ParticipantID { return b.suspendedNames(true) }

func (b *Book) suspendedNames(byHead bool) (out []tongma.ParticipantID) {
	for n, kept := range b.kept {
		if kept && b.blocked[n] && b.shards.mirrored[n] == byHead {
			out = append(out, tongma.ParticipantID(b.names[n]))
		}
	}
	slices.Sort(out)
	return out
}

// ByHead is the maker of entries by which a shard follows the head.
const ByHead = "the head"

// mirror keeps whether it is the head's word that suspends somebody.
func (b *Book) mirror(e *Entry, n uint16) {
	if !b.sharded() {
		return
	}
	if b.shards.mirrored == nil {
		b.shards.mirrored = map[uint16]bool{}
	}
	if delete(b.shards.mirrored, n); e.Kind == KindSuspend && e.Maker == ByHead {
		b.shards.mirrored[n] = true
	}
}
