package clearing

import (
	"crypto/sha256"
	"encoding/binary"
	"math/big"

	"github.com/tongma/tongma"
)

// auditShards is what the audit follows of the other shards.
type auditShards struct {
	self, count uint16
	spread      uint16 // how many there were at first
	homes       map[tongma.ParticipantID]uint16
	moves       map[tongma.ParticipantID]uint64
	out, in     map[uint16][]Carry
	confirmed   map[uint16]uint64
	claims      map[auditKey]uint16
	placed      map[auditKey]struct{}      // used here since there are shards
	carried     map[*auditBalance]*big.Int // of a position, what comes of no window
	moved       map[*auditBalance]*big.Int // prefunding that came with a move, or left
}

// auditPages is what of a shard's window was gathered.
type auditPages struct {
	window      tongma.WindowID
	hash        [32]byte
	have, pages uint64
	cells       []Obligation
}

func newAuditShards() auditShards {
	return auditShards{homes: map[tongma.ParticipantID]uint16{}, moves: map[tongma.ParticipantID]uint64{}, out: map[uint16][]Carry{}, in: map[uint16][]Carry{}, confirmed: map[uint16]uint64{},
		claims: map[auditKey]uint16{}, placed: map[auditKey]struct{}{}, carried: map[*auditBalance]*big.Int{}, moved: map[*auditBalance]*big.Int{}}
}

// auditHome is SHA-256 of the id, its first eight bytes modulo so many.
func auditHome(who tongma.ParticipantID, shards uint16) uint16 {
	sum := sha256.Sum256([]byte(who))
	return uint16(binary.BigEndian.Uint64(sum[:8])%uint64(max(shards, 1))) + 1
}

// auditOwner is SHA-256 of asker, zero and key, its first eight bytes modulo so many.
func auditOwner(asker tongma.ParticipantID, key string, shards uint16) uint16 {
	sum := sha256.Sum256([]byte(string(asker) + "\x00" + key))
	return uint16(binary.BigEndian.Uint64(sum[:8])%uint64(max(shards, 1))) + 1
}

func (a *Auditor) homeOf(who tongma.ParticipantID) uint16 {
	if sponsor := a.sponsors[who]; sponsor != "" {
		who = sponsor
	}
	if s := a.shards.homes[who]; s != 0 {
		return s
	}
	return auditHome(who, a.shards.spread)
}

// placed holds that a new payment belongs to this shard.
func (a *Auditor) placed(e *Entry) {
	if a.shards.count < 2 {
		return
	}
	a.shards.placed[auditKey{e.Asker, e.Key}] = struct{}{}
	if s := a.shards.claims[auditKey{e.Asker, e.Key}]; s != 0 {
		a.find(checkClaim, "the key of %s was given to shard %d", e.Asker, s)
	}
	if e.Kind == KindHold && e.Op != tongma.OpRefund && a.homeOf(e.Debtor) != a.shards.self {
		a.find(checkHome, "%s is at home in shard %d", e.Debtor, a.homeOf(e.Debtor))
	}
}

// between looks at an entry between shards.
func (a *Auditor) between(e *Entry) {
	x := &a.shards
	if e.Kind == KindHome && e.Debtor == "" {
		spread := uint64(e.Shards)
		if e.Upto != 0 {
			spread = e.Upto
		}
		joined := x.count != 0 && e.Shard == x.self && e.Shards > x.count && spread == uint64(x.spread)
		if (x.count != 0 && !joined) || e.Shards < 2 || e.Shard == 0 || e.Shard > e.Shards || spread < 2 || spread > uint64(e.Shards) {
			a.find(checkHome, "shard %d of %d, spread over %d; it was %d of %d, spread over %d", e.Shard, e.Shards, spread, x.self, x.count, x.spread)
			return
		}
		x.self, x.count, x.spread = e.Shard, e.Shards, uint16(spread)
		return
	}
	if e.Shard == 0 || e.Shard > x.count || (e.Shard == x.self && e.Kind != KindHome) {
		a.find(checkHome, "%s with shard %d, this is %d of %d", e.Kind, e.Shard, x.self, x.count)
		return
	}
	switch e.Kind {
	case KindCarryOut, KindCarryIn:
		a.carries(e)
	case KindGather:
		a.gathers(e)
	case KindClaim:
		k := auditKey{e.Asker, e.Key}
		if _, used := a.keys[k]; used || x.claims[k] != 0 || auditOwner(e.Asker, e.Key, x.spread) != x.self {
			a.find(checkClaim, "a key of %s is given to shard %d: it was used, or given to %d, or is not this shard's to give", e.Asker, e.Shard, x.claims[k])
		}
		x.claims[k] = e.Shard
	case KindHome:
		a.movesHome(e)
	}
}

// carry adds to what of a position comes of no window.
func (a *Auditor) carry(b *auditBalance, minor int64) {
	if a.shards.carried[b] == nil {
		a.shards.carried[b] = new(big.Int)
	}
	a.shards.carried[b].Add(a.shards.carried[b], big.NewInt(minor))
}

// carries takes room that leaves or comes in: by number, and never more than there is.
func (a *Auditor) carries(e *Entry) {
	x := &a.shards
	who, minor := a.balance(e.Debtor, e.Amount.Currency), e.Amount.Minor
	transit := a.balance(TransitAccount(e.Shard), e.Amount.Currency)
	row := x.in
	if e.Kind == KindCarryOut {
		row = x.out
		use := who.position
		a.add(&use, who.reserved)
		switch {
		case minor > 0 && use+minor > who.cap+who.prefunding:
			a.find(checkCarry, "%s: %d and %d are in use, there is no room for %d", who.who, who.position, who.reserved, minor)
		case minor < 0 && use+minor < 0:
			a.find(checkCarry, "%s: %d of debt leaves, %d is there", who.who, -minor, use)
		}
		if e.Upto < x.confirmed[e.Shard] || e.Upto >= e.Sequence {
			a.find(checkCarry, "%d is confirmed, %d was before", e.Upto, x.confirmed[e.Shard])
		}
		x.confirmed[e.Shard] = e.Upto
	} else {
		minor = -minor
	}
	if e.Sequence != uint64(len(row[e.Shard]))+1 || minor == 0 {
		a.find(checkCarry, "%s of %d of %s is number %d with shard %d, %d was due", e.Kind, e.Amount.Minor, e.Debtor, e.Sequence, e.Shard, len(row[e.Shard])+1)
	}
	row[e.Shard] = append(row[e.Shard], Carry{e.Shard, e.Sequence, e.Debtor, e.Amount})
	for b, figure := range map[*auditBalance]int64{who: minor, transit: -minor} {
		a.add(&b.position, figure)
		a.carry(b, figure)
	}
}

// gathers takes a page of what a window of another shard comes to.
func (a *Auditor) gathers(e *Entry) {
	if e.Window == 0 || uint64(e.Window) > uint64(len(a.windows)) || a.shards.self != Head {
		a.find(checkGather, "into a window that never was, or in shard %d", a.shards.self)
		return
	}
	w := a.windows[e.Window-1]
	p := w.gathered[e.Shard]
	if p == nil {
		p = &auditPages{window: e.Linked, hash: e.Hash, pages: e.Upto}
		if w.gathered == nil {
			w.gathered = map[uint16]*auditPages{}
		}
		w.gathered[e.Shard] = p
	}
	if w.state != auditClosed || e.Shard > w.shards || e.Sequence != p.have+1 || e.Sequence > p.pages || p.hash != e.Hash || p.window != e.Linked || p.pages != e.Upto || e.Model != w.model {
		a.find(checkGather, "%s, which is %s: page %d of %d of shard %d, behind page %d", w.id, w.state, e.Sequence, e.Upto, e.Shard, p.have)
		return
	}
	p.have = e.Sequence
	for _, c := range e.Cells {
		from, to := a.balance(c.Debtor, c.Currency), a.balance(c.Creditor, c.Currency)
		w.take(a, from, to, c.Gross)
		a.carry(from, -c.Gross)
		a.carry(to, c.Gross)
	}
	p.cells = append(p.cells, e.Cells...)
	w.hash = w.sheetHash()
	a.checkFigures(w)
}

// whole tells whether every shard has handed over what its window comes to.
func (w *auditWindow) whole() bool {
	for s := Head + 1; s <= w.shards; s++ {
		if p := w.gathered[s]; p == nil || p.have < p.pages {
			return false
		}
	}
	return true
}

// linked holds that a window is closed by the head, or for one of the head's that
// none was closed for before.
func (a *Auditor) linked(e *Entry, w *auditWindow) {
	x := &a.shards
	w.linked, w.shards = e.Linked, e.Shards
	due := uint16(0)
	if x.self == Head && x.count > 1 {
		due = x.count
	}
	if e.Shards != due || (e.Linked != 0) != (x.self > Head) {
		a.find(checkGather, "%s closes for %d shards and %s of the head, this is shard %d of %d", w.id, e.Shards, e.Linked, x.self, x.count)
	}
	for _, other := range a.windows {
		if other != w && e.Linked != 0 && other.model == w.model && other.linked >= e.Linked {
			a.find(checkGather, "%s and %s follow %s and %s", other.id, w.id, other.linked, e.Linked)
		}
	}
}

// followed takes the end of a window that the head has settled.
func (a *Auditor) followed(e *Entry, w *auditWindow) {
	if e.Linked != w.linked || w.state != auditClosed {
		a.find(checkGather, "%s is %s and follows %s, not %s", w.id, w.state, w.linked, e.Linked)
		return
	}
	for b, net := range w.nets {
		a.carry(b, net)
		if w.done[b] != 0 {
			a.find(checkGather, "%s: %s has paid %d by it", w.id, b.who, w.done[b])
		}
		w.done[b] = net
	}
	a.settled(w)
}

// movesHome takes a participant that is at home elsewhere from now on.
func (a *Auditor) movesHome(e *Entry) {
	x := &a.shards
	at := a.homeOf(e.Debtor)
	leaves, comes := at == x.self && e.Shard != at, at != x.self && e.Shard == x.self
	if e.Sequence <= x.moves[e.Debtor] || (leaves && e.Sequence != x.moves[e.Debtor]+1) || a.sponsors[e.Debtor] != "" {
		a.find(checkHome, "move %d of %s, behind move %d", e.Sequence, e.Debtor, x.moves[e.Debtor])
	}
	x.homes[e.Debtor], x.moves[e.Debtor] = e.Shard, e.Sequence
	left := map[tongma.Currency]bool{}
	for _, t := range e.Terms {
		b, sign := a.balance(e.Debtor, t.Currency), int64(1)
		left[t.Currency] = true
		switch {
		case leaves && (t.Cap != b.cap || t.Prefund != b.prefunding || !b.capped):
			a.find(checkHome, "%s leaves with a cap of %d and %d prefunded, it had %d and %d", b.who, t.Cap, t.Prefund, b.cap, b.prefunding)
		case !leaves && !comes:
			a.find(checkHome, "%s has a cap of %d in a shard that it does not come to", b.who, t.Cap)
		}
		b.capped, b.cap, b.capAt = true, t.Cap, e.Number
		if leaves {
			b.cap, sign = 0, -1
		}
		a.add(&b.prefunding, sign*t.Prefund)
		if x.moved[b] == nil {
			x.moved[b] = new(big.Int)
		}
		x.moved[b].Add(x.moved[b], big.NewInt(sign*t.Prefund))
	}
	for _, b := range a.accounts {
		if leaves && b.who == e.Debtor && b.capped && !left[b.currency] {
			a.find(checkHome, "%s leaves its cap in %s behind", b.who, b.currency)
		}
	}
}
