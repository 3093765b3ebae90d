package clearing

import (
	"encoding/binary"
	"hash/maphash"
	"math/bits"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/schemes"
)

// What a Book keeps of millions of payments is in a few long slices without
// pointers: the collector has nothing to follow there, and a snapshot is read back
// without making a thing for each payment.

// payments are kept in chunks: one slice of millions would be copied each time it
// grows, and everybody would wait for that.
type payments struct {
	chunks [][]payment // full, but for the last
	count  int
}

const paymentsInChunk = 1 << 14

// makePayments returns so many empty payments.
func makePayments(count int) payments {
	p := payments{count: count}
	for ; count > 0; count -= paymentsInChunk {
		p.chunks = append(p.chunks, make([]payment, min(count, paymentsInChunk)))
	}
	return p
}

func (p *payments) len() int { return p.count }

// at returns payment i, which stays where it is from the second chunk on.
func (p *payments) at(i uint32) *payment {
	return &p.chunks[i/paymentsInChunk][i%paymentsInChunk]
}

// add keeps another payment, and returns its number. Only the first chunk grows with
// what is in it: many a Book is small.
func (p *payments) add(x *payment) uint32 {
	if p.count%paymentsInChunk == 0 {
		var room int
		if p.count > 0 {
			room = paymentsInChunk
		}
		p.chunks = append(p.chunks, make([]payment, 0, room))
	}
	last := &p.chunks[len(p.chunks)-1]
	*last = append(*last, *x)
	p.count++
	return uint32(p.count - 1)
}

// feeLeg is a Leg as a Book keeps it, in the currency of its payment.
type feeLeg struct {
	minor    int64
	from, to uint16
	kind     schemes.FeeKind
	onRefund schemes.OnRefund
}

// keepFees keeps the fees of p's posting.
func (b *Book) keepFees(p *payment, legs []Leg) {
	if len(legs) == 0 {
		return
	}
	p.feesAt, p.feeCount = uint32(len(b.fees)), uint8(len(legs))
	for i := range legs {
		l := &legs[i]
		b.fees = append(b.fees, feeLeg{l.Amount.Minor, b.number(string(l.From)), b.number(string(l.To)), l.Kind, l.OnRefund})
	}
}

func (b *Book) feesOf(p *payment) []feeLeg {
	return b.fees[p.feesAt : p.feesAt+uint32(p.feeCount)]
}

// legs returns the fees of p's posting as entries have them.
func (b *Book) legs(p *payment) []Leg {
	if p.feeCount == 0 {
		return nil
	}
	legs := make([]Leg, 0, p.feeCount)
	for _, f := range b.feesOf(p) {
		legs = append(legs, Leg{f.kind, f.onRefund, tongma.ParticipantID(b.names[f.from]), tongma.ParticipantID(b.names[f.to]), tongma.Money{Minor: f.minor, Currency: b.feeCurrency(p)}})
	}
	return legs
}

// texts keeps short texts one behind the other.
type texts struct {
	chunks [][]byte
}

// textRef is where a text is kept: number of the chunk, offset and length. Zero is
// no text.
type textRef uint64

const chunkSize = 1 << 18

func (t *texts) put(s string) textRef {
	if s == "" {
		return 0
	}
	last := len(t.chunks) - 1
	if last < 0 || len(t.chunks[last])+len(s) > cap(t.chunks[last]) {
		t.chunks = append(t.chunks, make([]byte, 0, chunkSize))
		last++
	}
	at := len(t.chunks[last])
	t.chunks[last] = append(t.chunks[last], s...)
	return refTo(last, at, len(s))
}

func refTo(chunk, at, length int) textRef {
	return textRef(chunk)<<32 | textRef(at)<<8 | textRef(length)
}

// get returns the bytes of a text, which are not to be changed.
func (t *texts) get(r textRef) []byte {
	if r == 0 {
		return nil
	}
	at := int(r >> 8 & 0xff_ffff)
	return t.chunks[r>>32][at : at+int(r&0xff)]
}

// index finds the number under which something is kept by a key of 16 bytes. It is
// one small table at first, then many, so that none takes long to grow; and keeps no
// keys: whoever asks compares. Deletion is not needed.
type index struct {
	seed   maphash.Seed // keys may be chosen by others: nobody shall know where they fall
	tables []indexTable // one, or manyTables
	count  int
}

// A set of keys is split into many tables, by the upper bits of their tags, once it
// has more than fewKeys.
const (
	manyTables = 1 << tableBits
	tableBits  = 9
	fewKeys    = 1 << 12
)

type indexTable struct {
	slots []indexSlot // a power of two, at most three quarters full
	count int
}

// indexSlot is free if its number is zero; numbers are kept plus one.
type indexSlot struct {
	tag, number uint32
}

func newIndex() *index { return &index{seed: maphash.MakeSeed(), tables: make([]indexTable, 1)} }

func (x *index) table(key *[16]byte) (*indexTable, uint32) {
	tag := uint32(maphash.Bytes(x.seed, key[:]))
	return x.of(tag), tag
}

func (x *index) of(tag uint32) *indexTable {
	if len(x.tables) == 1 {
		return &x.tables[0]
	}
	return &x.tables[tag>>(32-tableBits)]
}

// split makes many tables of the one.
func (x *index) split() {
	was := x.tables[0].slots
	x.tables = make([]indexTable, manyTables)
	for _, s := range was {
		if s.number != 0 {
			x.of(s.tag).add(s)
		}
	}
}

// next returns the next number that may be under a key, from a place on; false at
// the end.
func (t *indexTable) next(tag uint32, at *uint32) (uint32, bool) {
	mask := uint32(len(t.slots) - 1)
	if len(t.slots) == 0 {
		return 0, false
	}
	for ; ; *at++ {
		s := t.slots[*at&mask]
		if s.number == 0 {
			return 0, false
		}
		if s.tag == tag {
			*at++
			return s.number - 1, true
		}
	}
}

func (x *index) put(key *[16]byte, number uint32) {
	if x.count++; x.count > fewKeys && len(x.tables) == 1 {
		x.split()
	}
	t, tag := x.table(key)
	t.add(indexSlot{tag, number + 1})
}

// add puts a slot where there is room.
func (t *indexTable) add(s indexSlot) {
	if 4*(t.count+1) > 3*len(t.slots) {
		t.grow(max(16, 2*len(t.slots)))
	}
	t.put(s)
	t.count++
}

func (t *indexTable) put(s indexSlot) {
	mask := uint32(len(t.slots) - 1)
	for at := s.tag; ; at++ {
		if free := &t.slots[at&mask]; free.number == 0 {
			*free = s
			return
		}
	}
}

func (t *indexTable) grow(size int) {
	was := t.slots
	t.slots = make([]indexSlot, size)
	for _, s := range was {
		if s.number != 0 {
			t.put(s)
		}
	}
}

// expect makes room for so many keys.
func (x *index) expect(keys int) {
	if keys <= fewKeys {
		return
	}
	x.split()
	for i := range x.tables {
		x.tables[i].grow(roomFor(keys))
	}
}

// roomFor returns the size of each of many tables for so many keys.
func roomFor(keys int) int {
	size := 16
	for 3*size < 4*(keys/manyTables+keys/manyTables/8+1) {
		size *= 2
	}
	return size
}

// fill puts numbers from zero on under their keys, table by table: one that is being
// filled stays near the processor.
func (x *index) fill(keys int, key func(int) *[16]byte) {
	x.expect(keys)
	if len(x.tables) == 1 {
		for i := range keys {
			x.put(key(i), uint32(i))
		}
		return
	}
	slots := make([]indexSlot, keys)
	var starts [manyTables + 1]uint32
	for i := range slots {
		_, tag := x.table(key(i))
		slots[i] = indexSlot{tag, uint32(i) + 1}
		starts[tag>>(32-tableBits)+1]++
	}
	for i := range manyTables {
		starts[i+1] += starts[i]
	}
	sorted, next := make([]indexSlot, keys), starts
	for _, s := range slots {
		at := &next[s.tag>>(32-tableBits)]
		sorted[*at] = s
		*at++
	}
	for i := range x.tables {
		for _, s := range sorted[starts[i]:starts[i+1]] {
			x.tables[i].add(s)
		}
	}
	x.count = keys
}

// find returns the number of the payment with this id.
func (b *Book) find(id tongma.PaymentID) (uint32, bool) {
	t, tag := b.byID.table((*[16]byte)(&id))
	for at := tag; ; {
		i, ok := t.next(tag, &at)
		if !ok || b.payments.at(i).id == id {
			return i, ok
		}
	}
}

// findKey returns the number of the payment whose asker used this key.
func (b *Book) findKey(key Digest) (uint32, bool) {
	t, tag := b.byKey.table((*[16]byte)(&key))
	for at := tag; ; {
		i, ok := t.next(tag, &at)
		if !ok || b.payments.at(i).key == key {
			return i, ok
		}
	}
}

// portion is how many entries are looked up together: so many that the memory has enough
// to fetch at a time, so few that it is all still near when they are applied.
const portion = 64

// ahead looks where propose and apply will look for what the entries are about, all of
// them one right behind the other, and of what is found there the same. It changes
// nothing, nor what they find; but the memory answers many at a time.
func (b *Book) ahead(all []*submission) (seen uint32) {
	var slots [2 * portion]*indexSlot
	var codes [2 * portion]*Digest
	var changed [portion]*indexSlot
	found, spent, changes := slots[:0], codes[:0], changed[:0]
	for _, s := range all[:min(len(all), portion)] {
		if s.draft == nil {
			continue
		}
		switch e := &s.draft.Entry; e.Kind {
		case KindHold, KindRefuse, KindTombstone:
			found = append(found, b.byKey.first((*[16]byte)(&s.key)), b.byID.first((*[16]byte)(&e.Payment)))
			spent = append(spent, b.codes[0].first(e.Code), b.codes[1].first(e.Code))
		case KindPend, KindPost, KindVoid, KindExpire, KindReversing, KindReversed:
			changes = append(changes, b.byID.first((*[16]byte)(&e.Payment)))
		}
	}
	for _, slot := range found {
		seen += slot.tag
	}
	for _, d := range spent {
		seen += uint32(d[0])
	}
	for _, slot := range changes {
		if slot.number != 0 {
			p := b.payments.at(slot.number - 1)
			seen += uint32(p.id[0]) + uint32(p.captured) + uint32(p.entry) + uint32(p.codeTail[0])
		}
	}
	return seen
}

// What stands where there is nothing.
var (
	noSlot   indexSlot
	noDigest Digest
)

// first returns what stands first under a key.
func (x *index) first(key *[16]byte) *indexSlot {
	t, tag := x.table(key)
	if len(t.slots) == 0 {
		return &noSlot
	}
	return &t.slots[tag&uint32(len(t.slots)-1)]
}

// first returns what stands first where a digest would.
func (s *digests) first(d Digest) *Digest {
	if s.count == 0 {
		return &noDigest
	}
	t := s.of(d.tag())
	if len(t.slots) == 0 {
		return &noDigest
	}
	return &t.slots[d.tag()&uint32(len(t.slots)-1)]
}

// digests is a set of digests, in tables as those of an index. The zero Digest is
// never in it.
type digests struct {
	tables []digestTable // none, one, or manyTables
	count  int
}

type digestTable struct {
	slots []Digest // a power of two, at most three quarters full; zero is free
	count int
}

// tag of a digest. It is keyed already, so that nobody can choose where it falls; it
// is mixed all the same, for those that are not spread.
func (d *Digest) tag() uint32 {
	hi, lo := bits.Mul64(binary.LittleEndian.Uint64(d[:8])^0x9e3779b97f4a7c15, binary.LittleEndian.Uint64(d[8:])^0xd6e8feb86659fd93)
	return uint32((hi ^ lo) >> 32)
}

func (s *digests) of(tag uint32) *digestTable {
	switch len(s.tables) {
	case 0:
		s.tables = make([]digestTable, 1)
		return &s.tables[0]
	case 1:
		return &s.tables[0]
	}
	return &s.tables[tag>>(32-tableBits)]
}

func (s *digests) split() {
	was := s.of(0).slots
	s.tables = make([]digestTable, manyTables)
	for _, d := range was {
		if d != (Digest{}) {
			s.of(d.tag()).add(d)
		}
	}
}

// find returns where a digest is in its table, or would be.
func (t *digestTable) find(d Digest) (at uint32, found bool) {
	mask := uint32(len(t.slots) - 1)
	for at = d.tag() & mask; ; at = (at + 1) & mask {
		switch t.slots[at] {
		case Digest{}:
			return at, false
		case d:
			return at, true
		}
	}
}

func (s *digests) has(d Digest) bool {
	if s.count == 0 || d == (Digest{}) {
		return false
	}
	t := s.of(d.tag())
	if len(t.slots) == 0 {
		return false
	}
	_, found := t.find(d)
	return found
}

func (s *digests) put(d Digest) {
	if d == (Digest{}) || s.has(d) {
		return
	}
	if s.count++; s.count > fewKeys && len(s.tables) == 1 {
		s.split()
	}
	s.of(d.tag()).add(d)
}

// add puts a digest that is not in the table where there is room.
func (t *digestTable) add(d Digest) {
	if 4*(t.count+1) > 3*len(t.slots) {
		t.grow(max(16, 2*len(t.slots)))
	}
	at, _ := t.find(d)
	t.slots[at] = d
	t.count++
}

func (t *digestTable) grow(size int) {
	was := t.slots
	t.slots = make([]Digest, size)
	for _, d := range was {
		if d != (Digest{}) {
			at, _ := t.find(d)
			t.slots[at] = d
		}
	}
}

// remove takes a digest out; what was put behind it moves up, so that no gap is left
// in front of what it was found by.
func (s *digests) remove(d Digest) {
	if !s.has(d) {
		return
	}
	t := s.of(d.tag())
	at, _ := t.find(d)
	t.slots[at] = Digest{}
	t.count--
	s.count--
	mask := uint32(len(t.slots) - 1)
	for at = (at + 1) & mask; t.slots[at] != (Digest{}); at = (at + 1) & mask {
		moved := t.slots[at]
		t.slots[at] = Digest{}
		free, _ := t.find(moved)
		t.slots[free] = moved
	}
}

// each calls see for every digest, in no order that means anything.
func (s *digests) each(see func(Digest)) {
	for i := range s.tables {
		for _, d := range s.tables[i].slots {
			if d != (Digest{}) {
				see(d)
			}
		}
	}
}

// expect makes room for so many digests.
func (s *digests) expect(count int) {
	if count <= fewKeys {
		return
	}
	s.split()
	for i := range s.tables {
		if len(s.tables[i].slots) < roomFor(count) {
			s.tables[i].grow(roomFor(count))
		}
	}
}
