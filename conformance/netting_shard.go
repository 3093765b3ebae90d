package conformance

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"github.com/tongma/tongma"
)

// sharding is what a journal that is one of several says of the others.
type sharding struct {
	self, count uint64
	spread      uint64 // how many there were at first
	homes       map[tongma.ParticipantID]uint64
	moves       map[tongma.ParticipantID]uint64
	carried     map[string]uint64 // the latest number, by kind and shard
	claims      map[string]uint64 // keys that another shard has, with their askers
	pages       map[string]*pages // by window and shard
	shards      map[tongma.WindowID]uint64
	links       map[tongma.WindowID]uint64
}

// pages is what of a shard's window was gathered.
type pages struct {
	have, of, window uint64
	sheet            string
}

// cell is one of a line's cells.
type cell struct {
	Debtor   tongma.ParticipantID `json:"debtor"`
	Creditor tongma.ParticipantID `json:"creditor"`
	Currency string               `json:"currency"`
	Gross    int64                `json:"gross_minor"`
	Count    int64                `json:"payments"`
}

// term is what goes with a participant in one currency.
type term struct {
	Currency string `json:"currency"`
	Cap      int64  `json:"cap_minor"`
	Prefund  int64  `json:"prefunded_minor"`
}

func newSharding() sharding {
	return sharding{homes: map[tongma.ParticipantID]uint64{}, moves: map[tongma.ParticipantID]uint64{}, carried: map[string]uint64{}, claims: map[string]uint64{}, pages: map[string]*pages{},
		shards: map[tongma.WindowID]uint64{}, links: map[tongma.WindowID]uint64{}}
}

func (r *recomputing) homeOf(who tongma.ParticipantID) uint64 {
	who = r.settler(who)
	if at := r.shards.homes[who]; at != 0 {
		return at
	}
	sum := sha256.Sum256([]byte(who))
	return binary.BigEndian.Uint64(sum[:8])%r.shards.spread + 1
}

// placed holds that a new payment belongs to this shard.
func (r *recomputing) placed(l *line) error {
	if r.shards.count == 0 {
		return nil
	}
	if at := r.shards.claims[l.Asker+"\x00"+l.Key]; at != 0 {
		return fmt.Errorf("the key of %s was given to shard %d", l.Asker, at)
	}
	if at := r.homeOf(l.Debtor); l.Kind == "hold" && l.Op != "refund" && at != r.shards.self {
		return fmt.Errorf("%s is at home in shard %d", l.Debtor, at)
	}
	return nil
}

func (r *recomputing) otherShard(l *line) error {
	if l.Shard == 0 || l.Shard > r.shards.count || l.Shard == r.shards.self {
		return fmt.Errorf("%d is no other shard", l.Shard)
	}
	return nil
}

// carry takes room that leaves for another shard, or comes in.
func (r *recomputing) carry(l *line) error {
	if err := r.otherShard(l); err != nil {
		return err
	}
	_, s, err := r.account(l)
	if err != nil {
		return err
	}
	way := fmt.Sprint(l.Kind, l.Shard)
	if r.shards.carried[way]++; l.Sequence != r.shards.carried[way] || l.Minor == 0 {
		return fmt.Errorf("it is number %d, %d was due; or carries nothing", l.Sequence, r.shards.carried[way])
	}
	currency, _ := tongma.CurrencyByCode(l.Currency)
	transit := r.standing(Account{tongma.ParticipantID(fmt.Sprintf("~shard-%d", l.Shard)), currency})
	minor := l.Minor
	if l.Kind == "carry-in" {
		minor = -minor
	}
	if err := add(&s.Position, minor); err != nil {
		return err
	}
	if err := add(&transit.Position, -minor); err != nil {
		return err
	}
	use := s.Position
	if err := add(&use, s.Reserved); err != nil {
		return err
	}
	switch {
	case l.Kind == "carry-out" && minor > 0 && use > s.Cap && use-s.Cap > s.Prefunding:
		return fmt.Errorf("%s is at %d, held %d: that is past its cap of %d, prefunded %d", l.Debtor, s.Position, s.Reserved, s.Cap, s.Prefunding)
	case l.Kind == "carry-out" && minor < 0 && use < 0:
		return fmt.Errorf("more debt leaves than there is")
	}
	return nil
}

// gather takes a page of what another shard's window comes to.
func (r *recomputing) gather(l *line) error {
	w, err := r.window(l, "closed")
	if err == nil {
		err = r.otherShard(l)
	}
	if err != nil {
		return err
	}
	at := fmt.Sprint(l.Window, " ", l.Shard)
	p := r.shards.pages[at]
	if p == nil {
		p = &pages{of: l.Upto, window: l.Linked, sheet: l.Sheet}
		r.shards.pages[at] = p
	}
	if p.have++; r.shards.self != 1 || l.Shard > r.shards.shards[w.Window] || l.Sequence != p.have || p.have > p.of || l.Upto != p.of || l.Sheet != p.sheet || l.Linked != p.window || l.Model != w.Model {
		return fmt.Errorf("page %d of %d of shard %d is not the one that is due", l.Sequence, l.Upto, l.Shard)
	}
	for _, c := range l.Cells {
		currency, ok := tongma.CurrencyByCode(c.Currency)
		if !ok || c.Gross < 0 || c.Count < 0 {
			return fmt.Errorf("a cell of %d %s", c.Gross, c.Currency)
		}
		if err := w.put(Pair{c.Debtor, c.Creditor, currency}, Cell{Gross: c.Gross, Count: c.Count}); err != nil {
			return err
		}
		w.Payments += c.Count
	}
	return w.figure()
}

// whole says which shards have not handed over what their windows come to.
func (r *recomputing) whole(w *Sheet) error {
	if r.shards.links[w.Window] != 0 {
		return fmt.Errorf("it is the head's to settle")
	}
	for s := uint64(2); s <= r.shards.shards[w.Window]; s++ {
		if p := r.shards.pages[fmt.Sprint(uint64(w.Window), " ", s)]; p == nil || p.have < p.of {
			return fmt.Errorf("shard %d has not handed over its window", s)
		}
	}
	return nil
}

// linked takes what a close has to do with windows of other shards.
func (r *recomputing) linked(l *line, w *Sheet) error {
	head := r.shards.self == 1
	switch {
	case r.shards.count == 0 && (l.Shards != 0 || l.Linked != 0), head && (l.Shards != r.shards.count || l.Linked != 0), r.shards.self > 1 && (l.Shards != 0 || l.Linked == 0):
		return fmt.Errorf("it is of %d shards and follows window %d, in shard %d of %d", l.Shards, l.Linked, r.shards.self, r.shards.count)
	}
	for id, link := range r.shards.links {
		if r.sheets[id-1].Model == w.Model && link >= l.Linked && l.Linked != 0 {
			return fmt.Errorf("window %d has followed %d", id, link)
		}
	}
	if l.Linked != 0 {
		r.shards.links[w.Window] = l.Linked
	}
	r.shards.shards[w.Window] = l.Shards
	return nil
}

// followed takes the end of a window that the head has settled. Positions stay: the
// head has the room, and carries it home.
func (r *recomputing) followed(l *line, w *Sheet) error {
	if l.Linked != r.shards.links[w.Window] {
		return fmt.Errorf("it follows window %d", r.shards.links[w.Window])
	}
	w.State = "settled"
	for a, part := range w.memos {
		r.standing(a).MemoPosition -= part.minor
	}
	return nil
}

// claim takes that a key belongs to another shard.
func (r *recomputing) claim(l *line) error {
	if err := r.otherShard(l); err != nil {
		return err
	}
	key := l.Asker + "\x00" + l.Key
	sum := sha256.Sum256([]byte(key))
	if owner := binary.BigEndian.Uint64(sum[:8])%r.shards.spread + 1; owner != r.shards.self || r.keys[key] || r.shards.claims[key] != 0 {
		return fmt.Errorf("the key is shard %d's to give, or was used or given before", owner)
	}
	r.shards.claims[key] = l.Shard
	return nil
}

// home takes which shard this is, or where somebody is at home from now on.
func (r *recomputing) home(l *line) error {
	x := &r.shards
	if l.Debtor == "" {
		spread := l.Shards
		if l.Upto != 0 {
			spread = l.Upto
		}
		if l.Shards < 2 || l.Shard == 0 || l.Shard > l.Shards || spread < 2 || spread > l.Shards || (x.count != 0 && (l.Shard != x.self || l.Shards <= x.count || spread != x.spread)) {
			return fmt.Errorf("shard %d of %d over %d, it is %d of %d over %d", l.Shard, l.Shards, spread, x.self, x.count, x.spread)
		}
		x.self, x.count, x.spread = l.Shard, l.Shards, spread
		return nil
	}
	if x.count == 0 || l.Shard == 0 || l.Shard > x.count || l.Sequence <= x.moves[l.Debtor] || r.sponsors[l.Debtor] != "" {
		return fmt.Errorf("move %d to shard %d, behind move %d", l.Sequence, l.Shard, x.moves[l.Debtor])
	}
	at := r.homeOf(l.Debtor)
	leaves, comes := at == x.self && l.Shard != at, at != x.self && l.Shard == x.self
	if (leaves && l.Sequence != x.moves[l.Debtor]+1) || (!leaves && !comes && len(l.Terms) > 0) {
		return fmt.Errorf("move %d, %d was due; or it takes along what is not here", l.Sequence, x.moves[l.Debtor]+1)
	}
	x.homes[l.Debtor], x.moves[l.Debtor] = l.Shard, l.Sequence
	for _, t := range l.Terms {
		currency, ok := tongma.CurrencyByCode(t.Currency)
		a := Account{l.Debtor, currency}
		s := r.standing(a)
		if !ok || (leaves && (s.Cap != t.Cap || s.Prefunding != t.Prefund)) {
			return fmt.Errorf("it leaves with a cap of %d and %d prefunded, there were %d and %d", t.Cap, t.Prefund, s.Cap, s.Prefunding)
		}
		s.Capped, r.capAt[a] = true, l.Entry
		if comes {
			s.Cap, s.Prefunding = t.Cap, s.Prefunding+t.Prefund
		} else {
			s.Cap, s.Prefunding = 0, s.Prefunding-t.Prefund
		}
	}
	return nil
}
