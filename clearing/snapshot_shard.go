package clearing

import (
	"maps"
	"slices"

	"github.com/tongma/tongma"
)

// writeShards writes what a Book that is one of several shards knows of the others,
// behind everything else. That of a Book that is alone has no such block.
func (b *Book) writeShards(s *snapshotWriter) {
	if !b.sharded() {
		return
	}
	x := &b.shards
	s.begin(blockShards)
	s.unsigned(uint64(x.self))
	if x.spread != x.count { // of those that are alike, and of older ones, only one is there
		s.unsigned(uint64(x.spread)<<16 | uint64(x.count))
	} else {
		s.unsigned(uint64(x.count))
	}
	s.yes(x.older)
	s.unsigned(uint64(len(x.homes)))
	for _, n := range slices.Sorted(maps.Keys(x.homes)) {
		h := x.homes[n]
		s.unsigned(uint64(n))
		s.unsigned(uint64(h.shard))
		s.unsigned(h.moves)
		s.number(h.since)
		s.yes(h.left)
		s.unsigned(uint64(len(h.terms)))
		s.bytes(appendTerms(nil, h.terms)[1:]) // without how many, of which there are few
	}
	s.unsigned(uint64(len(x.claims)))
	for _, d := range slices.SortedFunc(maps.Keys(x.claims), func(p, q Digest) int { return slices.Compare(p[:], q[:]) }) {
		s.bytes(d[:])
		s.unsigned(uint64(x.claims[d]))
	}
	s.unsigned(uint64(len(x.ways)))
	for _, n := range slices.Sorted(maps.Keys(x.ways)) {
		w := x.ways[n]
		for _, figure := range []uint64{uint64(n), w.sent, w.confirmed, w.taken, uint64(len(w.pending))} {
			s.unsigned(figure)
		}
		for _, c := range w.pending {
			s.text(string(c.Participant))
			s.unsigned(uint64(c.Amount.Currency))
			s.number(c.Amount.Minor)
		}
	}
	s.unsigned(uint64(len(x.carried)))
	for _, k := range slices.SortedFunc(maps.Keys(x.carried), byAccount) {
		s.account(k)
		s.number(x.carried[k].minor)
		s.number(x.carried[k].count)
		s.unsigned(x.carried[k].entry)
	}
	s.unsigned(uint64(len(x.mirrored)))
	for _, n := range slices.Sorted(maps.Keys(x.mirrored)) {
		s.unsigned(uint64(n))
	}
	b.writeLinks(s)
	s.end(1)
}

// writeLinks writes what windows have to do with those of other shards.
func (b *Book) writeLinks(s *snapshotWriter) {
	for _, w := range b.windows {
		s.unsigned(uint64(w.shards))
		s.unsigned(uint64(w.linked))
		s.unsigned(uint64(len(w.gathered)))
		for _, g := range w.gathered {
			for _, figure := range []uint64{uint64(g.shard), uint64(g.window), g.have, g.pages} {
				s.unsigned(figure)
			}
			s.bytes(g.hash[:])
		}
		for _, d := range w.debts {
			s.unsigned(uint64(d.shard))
		}
	}
}

// readShards reads what writeShards wrote; the windows have been read.
func (s *snapshotReader) readShards(r *entryReader) {
	b := s.book
	x := &b.shards
	x.self = r.short()
	both := r.uvarint()
	x.count, x.spread, x.older = uint16(both), uint16(both>>16), r.yes()
	if x.spread == 0 {
		x.spread = x.count
	}
	r.bad = r.bad || both>>32 != 0 || x.spread < 2 || x.spread > x.count || x.count < 2 || x.count > MaxShards || x.self == 0 || x.self > x.count || len(b.windows) != s.windows
	x.homes = map[uint16]home{}
	for i := r.count(); i > 0 && !r.bad; i-- {
		n := r.short()
		h := home{shard: r.short(), moves: r.uvarint(), since: r.varint(), left: r.yes()}
		if terms := r.count(); terms > 0 && terms <= maxTerms {
			h.terms = r.termList(terms)
		} else if terms > 0 {
			r.bad = true
		}
		x.homes[n] = h
		r.bad = r.bad || int(n) >= len(b.names)
	}
	x.claims = map[Digest]uint16{}
	for i := r.count(); i > 0 && !r.bad; i-- {
		var d Digest
		copy(d[:], r.take(len(d)))
		x.claims[d] = r.short()
	}
	s.readWays(r)
	x.carried = map[accountKey]carried{}
	for i := r.count(); i > 0 && !r.bad; i-- {
		k := r.account()
		x.carried[k] = carried{r.varint(), r.varint(), r.uvarint()}
		r.bad = r.bad || int(k.participant) >= len(b.names)
	}
	x.mirrored = map[uint16]bool{}
	for i := r.count(); i > 0 && !r.bad; i-- {
		x.mirrored[r.short()] = true
	}
	for _, w := range b.windows {
		w.shards, w.linked = r.short(), tongma.WindowID(r.uvarint())
		for i := r.count(); i > 0 && !r.bad; i-- {
			g := gathering{shard: r.short(), window: tongma.WindowID(r.uvarint()), have: r.uvarint(), pages: r.uvarint()}
			copy(g.hash[:], r.take(len(g.hash)))
			w.gathered = append(w.gathered, g)
		}
		for i := range w.debts {
			w.debts[i].shard = r.short()
		}
	}
}

func (s *snapshotReader) readWays(r *entryReader) {
	x := &s.book.shards
	x.ways = map[uint16]*way{}
	for i := r.count(); i > 0 && !r.bad; i-- {
		n := r.short()
		w := &way{sent: r.uvarint(), confirmed: r.uvarint(), taken: r.uvarint()}
		x.ways[n] = w
		pending := r.count()
		r.bad = r.bad || uint64(pending) != w.sent-w.confirmed
		for at := w.confirmed + 1; pending > 0 && !r.bad; pending, at = pending-1, at+1 {
			c := Carry{Shard: n, Sequence: at, Participant: tongma.ParticipantID(r.word(maxName))}
			c.Amount.Currency, c.Amount.Minor = tongma.Currency(r.short()), r.varint()
			w.pending = append(w.pending, c)
		}
	}
}
