package clearing

import (
	"crypto/sha256"
	"encoding/binary"
	"math"
	"strconv"
	"strings"

	"github.com/tongma/tongma"
)

// One switch may be several shards, each with a journal, a Book and a writer of its
// own. A payment is held in the shard in which its debtor is at home, so that one
// writer decides on the debtor's cap. Shards are numbered from 1; the first is the
// head, which closes windows for all and settles them.
//
// What goes from one shard to another is written in both, and in each of them is
// double entry by itself: the other side is the account of the other shard, whose
// name no participant can have. What left and has arrived adds up to nothing over all
// shards.

// Head is the shard that settles.
const Head uint16 = 1

// MaxShards bounds how many shards one switch may be.
const MaxShards = 64

// HomeOf is the shard in which a participant is at home unless it was moved, of so
// many. It is the same on every machine: the first eight bytes of the id's SHA-256.
func HomeOf(who tongma.ParticipantID, shards uint16) uint16 {
	if shards < 2 {
		return Head
	}
	sum := sha256.Sum256([]byte(who))
	return uint16(binary.BigEndian.Uint64(sum[:8])%uint64(shards)) + 1
}

// OwnerOf is the shard that knows which shard has the payment under an asker's key.
func OwnerOf(asker tongma.ParticipantID, key string, shards uint16) uint16 {
	if shards < 2 {
		return Head
	}
	d := keyDigest(asker, key)
	return uint16(binary.BigEndian.Uint64(d[:8])%uint64(shards)) + 1
}

// TransitAccount is the account of another shard.
func TransitAccount(shard uint16) tongma.ParticipantID {
	return tongma.ParticipantID(transitPrefix + strconv.Itoa(int(shard)))
}

const transitPrefix = "~shard-"

// IsTransit tells whether an account is that of another shard.
func IsTransit(who tongma.ParticipantID) bool { return strings.HasPrefix(string(who), transitPrefix) }

// sharding is what a Book knows of the other shards. The zero value has none.
type sharding struct {
	self, count uint16
	spread      uint16          // over how many of them ids and keys are spread: how many there were at first
	older       bool            // it had payments before it was one of several
	homes       map[uint16]home // who has moved
	claims      map[Digest]uint16
	ways        map[uint16]*way // to and from each of the others
	carried     map[accountKey]carried
	mirrored    map[uint16]bool // whom the head's word suspends
}

// home is where a participant is at home, since its latest move.
type home struct {
	shard uint16
	moves uint64
	since int64   // by the entry's time
	left  bool    // it left this shard by it
	terms []Terms // and took these along
}

// way is what was carried between this shard and another.
type way struct {
	sent, confirmed uint64
	taken           uint64
	pending         []Carry // sent, and not known to have arrived: confirmed+1 and so on
}

// carried is the part of a position that comes of no window of this Book: room that
// was carried, and what was gathered.
type carried struct {
	minor int64
	count int64  // of the entries that it comes of
	entry uint64 // the latest of them
}

func (b *Book) sharded() bool { return b.shards.count > 1 }

// Shard returns which shard the Book is, and of how many; zero and zero if there is one.
func (b *Book) Shard() (self, count uint16) { return b.shards.self, b.shards.count }

// Spread returns over how many shards ids and keys are spread, by HomeOf and OwnerOf: how
// many there were at first. Those that joined later have who was moved to them, and keep
// no keys. Zero if there is one.
func (b *Book) Spread() uint16 { return b.shards.spread }

// homeOf returns where a participant is at home: where its sponsor is, if it has one.
func (b *Book) homeOf(who tongma.ParticipantID) uint16 {
	n, known := b.numbers[string(who)]
	if !known {
		return HomeOf(who, b.shards.spread)
	}
	n = b.settler(n)
	if h, moved := b.shards.homes[n]; moved {
		return h.shard
	}
	return HomeOf(tongma.ParticipantID(b.names[n]), b.shards.spread)
}

// Home returns the shard in which a participant is at home as far as this one knows,
// and how often it has moved. If that is another, only that one can say for certain.
func (b *Book) Home(who tongma.ParticipantID) (shard uint16, moves uint64) {
	if !b.sharded() {
		return Head, 0
	}
	if n, known := b.numbers[string(who)]; known {
		moves = b.shards.homes[b.settler(n)].moves
	}
	return b.homeOf(who), moves
}

// away tells whether a participant is at home in another shard.
func (b *Book) away(who tongma.ParticipantID) bool {
	return b.sharded() && b.homeOf(who) != b.shards.self
}

// elsewhere returns the shard that a new payment belongs to, if not to this one.
func (b *Book) elsewhere(e *Entry) uint16 {
	if !b.sharded() {
		return 0
	}
	if s := b.shards.claims[keyDigest(e.Asker, e.Key)]; s != 0 {
		return s
	}
	if e.Kind == KindHold && e.Op != tongma.OpRefund && b.away(e.Debtor) {
		return b.homeOf(e.Debtor)
	}
	return 0
}

// otherShard tells whether a number is that of another shard.
func (b *Book) otherShard(s uint16) bool {
	return b.sharded() && s != 0 && s <= b.shards.count && s != b.shards.self
}

// Older tells whether the Book had payments before it was one of several shards: their
// keys are used, and no owner knows of it.
func (b *Book) Older() bool { return b.shards.older }

func (b *Book) wayTo(shard uint16) *way {
	if b.shards.ways == nil {
		b.shards.ways = map[uint16]*way{}
	}
	if b.shards.ways[shard] == nil {
		b.shards.ways[shard] = &way{}
	}
	return b.shards.ways[shard]
}

// wayNow is wayTo without making it.
func (b *Book) wayNow(shard uint16) way {
	if w := b.shards.ways[shard]; w != nil {
		return *w
	}
	return way{}
}

// carry adds to the part of a position that comes of no window.
func (b *Book) carry(n uint16, c tongma.Currency, minor int64, entry uint64) {
	if b.shards.carried == nil {
		b.shards.carried = map[accountKey]carried{}
	}
	k := accountKey{n, c}
	sum := b.shards.carried[k]
	b.shards.carried[k] = carried{sum.minor + minor, sum.count + 1, entry}
	b.account(n, c)
}

// proposeShard decides on entries between shards. The reasons, in their order:
//
//	home without a participant: FieldInvalid; a repeat: Exists, with ExistsOtherContent if it says otherwise (another shard,
//	fewer of them, or another spread)
//	any other:                  StateConflict: there is one shard
//	carry-out, carry-in:        see proposeCarry
//	gather:                     see proposeGather
//	claim:                      see proposeClaim
//	home:                       see proposeHome
func (b *Book) proposeShard(e *Entry) Verdict {
	if e.Kind == KindHome && e.Debtor == "" {
		return b.proposeShards(e)
	}
	if !b.sharded() {
		return Verdict{Reason: tongma.StateConflict}
	}
	switch e.Kind {
	case KindCarryOut, KindCarryIn:
		return b.proposeCarry(e)
	case KindGather:
		return b.proposeGather(e)
	case KindClaim:
		return b.proposeClaim(e)
	}
	return b.proposeHome(e)
}

// proposeShards decides on which shard this is, of how many: at first, and when more
// have joined. Upto is the spread, if that is less than Shards.
func (b *Book) proposeShards(e *Entry) Verdict {
	if e.Upto == uint64(e.Shards) {
		e.Upto = 0
	}
	switch {
	case e.Shards < 2 || e.Shards > MaxShards || e.Shard == 0 || e.Shard > e.Shards || e.Upto == 1 || e.Upto > uint64(e.Shards) || len(e.Cells) > 0 || len(e.Terms) > 0:
		return Verdict{Reason: tongma.FieldInvalid}
	case !b.sharded():
		return Verdict{Write: true}
	case e.Shard != b.shards.self || e.Shards < b.shards.count || (e.Upto != 0 && e.Upto != uint64(b.shards.spread)):
		return Verdict{Exists: true, Reason: tongma.ExistsOtherContent}
	case e.Shards == b.shards.count:
		return Verdict{Exists: true}
	}
	e.Upto = uint64(b.shards.spread)
	return Verdict{Write: true}
}

// applyShards makes the Book one of several, or of more than before.
func (b *Book) applyShards(e *Entry) {
	if !b.sharded() {
		b.shards.older = b.payments.len() > 0
	}
	b.shards.self, b.shards.count, b.shards.spread = e.Shard, e.Shards, e.Shards
	if e.Upto != 0 {
		b.shards.spread = uint16(e.Upto)
	}
}

// applyShard makes such an entry part of the Book, and refuses one that a Book would
// not have proposed.
func (b *Book) applyShard(e *Entry) error {
	again := *e
	if v := b.proposeShard(&again); !v.Write || again.Sequence != e.Sequence || again.Upto != e.Upto {
		return b.broken(e, "no Book would have proposed it")
	}
	switch e.Kind {
	case KindCarryOut, KindCarryIn:
		b.applyCarry(e)
	case KindGather:
		b.applyGather(e)
	case KindClaim:
		if b.shards.claims == nil {
			b.shards.claims = map[Digest]uint16{}
		}
		b.shards.claims[keyDigest(e.Asker, e.Key)] = e.Shard
	case KindHome:
		if e.Debtor == "" {
			b.applyShards(e)
			return nil
		}
		b.applyHome(e)
	}
	return nil
}

// Bounds of what an entry between shards carries, so that it fits a batch.
const (
	maxCells = 24
	maxTerms = 100
)

func cellsFit(cells []Obligation) bool {
	for i := range cells {
		c := &cells[i]
		if c.Debtor == "" || c.Creditor == "" || len(c.Debtor) > maxName || len(c.Creditor) > maxName || c.Gross < 0 || c.Count < 0 || c.Fees < 0 || c.Fees > c.Gross {
			return false
		}
	}
	return len(cells) <= maxCells
}

func appendCells(b []byte, cells []Obligation) []byte {
	b = binary.AppendUvarint(b, uint64(len(cells)))
	for i := range cells {
		c := &cells[i]
		b = append(binary.AppendUvarint(b, uint64(len(c.Debtor))), c.Debtor...)
		b = append(binary.AppendUvarint(b, uint64(len(c.Creditor))), c.Creditor...)
		b = binary.BigEndian.AppendUint16(b, uint16(c.Currency))
		for _, n := range [...]int64{c.Gross, c.Count, c.Fees} {
			b = binary.AppendVarint(b, n)
		}
	}
	return b
}

func (r *entryReader) currency() tongma.Currency {
	if c := r.take(2); c != nil {
		return tongma.Currency(binary.BigEndian.Uint16(c))
	}
	return 0
}

func (r *entryReader) cells(f int) []Obligation {
	if !r.has(f) {
		return nil
	}
	n := r.uvarint()
	if n == 0 || n > maxCells {
		r.bad = true
		return nil
	}
	cells := make([]Obligation, n)
	for i := range cells {
		cells[i] = Obligation{Debtor: tongma.ParticipantID(r.name(maxName)), Creditor: tongma.ParticipantID(r.name(maxName)), Currency: r.currency(),
			Gross: r.varint(), Count: r.varint(), Fees: r.varint()}
	}
	r.bad = r.bad || !cellsFit(cells)
	return cells
}

// Terms are what an account has besides what it owes: they go with a participant that
// moves.
type Terms struct {
	Currency tongma.Currency
	Cap      int64 // in force
	Directed int64 // that the directory last gave
	Prefund  int64 // deposited and not withdrawn
}

func termsFit(terms []Terms) bool {
	for i := range terms {
		t := &terms[i]
		if t.Cap < 0 || t.Directed < 0 || t.Prefund < 0 || (i > 0 && terms[i-1].Currency >= t.Currency) {
			return false
		}
	}
	return len(terms) <= maxTerms
}

func appendTerms(b []byte, terms []Terms) []byte {
	b = binary.AppendUvarint(b, uint64(len(terms)))
	for _, t := range terms {
		b = binary.BigEndian.AppendUint16(b, uint16(t.Currency))
		for _, n := range [...]int64{t.Cap, t.Directed, t.Prefund} {
			b = binary.AppendVarint(b, n)
		}
	}
	return b
}

func (r *entryReader) terms(f int) []Terms {
	if !r.has(f) {
		return nil
	}
	n := r.uvarint()
	if n == 0 || n > maxTerms {
		r.bad = true
		return nil
	}
	return r.termList(int(n))
}

func (r *entryReader) termList(n int) []Terms {
	terms := make([]Terms, n)
	for i := range terms {
		terms[i] = Terms{Currency: r.currency(), Cap: r.varint(), Directed: r.varint(), Prefund: r.varint()}
	}
	r.bad = r.bad || !termsFit(terms)
	return terms
}

// CellLine is a cell of a bilateral matrix.
type CellLine struct {
	Debtor   string `json:"debtor"`
	Creditor string `json:"creditor"`
	Currency string `json:"currency"`
	Gross    int64  `json:"gross_minor"`
	Count    int64  `json:"payments"`
	Fees     int64  `json:"fees_minor,omitempty"` // of gross
}

// TermLine is what an account that moves has in one currency.
type TermLine struct {
	Currency string `json:"currency"`
	Cap      int64  `json:"cap_minor"`
	Directed int64  `json:"directed_cap_minor"`
	Prefund  int64  `json:"prefunded_minor,omitempty"`
}

// showShards adds to a line what an entry says of other shards.
func (e *Entry) showShards(l *Line) {
	l.Shard, l.Shards, l.Sequence, l.Upto, l.Linked = e.Shard, e.Shards, e.Sequence, e.Upto, uint64(e.Linked)
	for _, c := range e.Cells {
		l.Cells = append(l.Cells, CellLine{string(c.Debtor), string(c.Creditor), c.Currency.Code(), c.Gross, c.Count, c.Fees})
	}
	for _, t := range e.Terms {
		l.Terms = append(l.Terms, TermLine{t.Currency.Code(), t.Cap, t.Directed, t.Prefund})
	}
}

// namesFit tells whether so many more names can be given numbers.
func (b *Book) namesFit(more int) bool { return len(b.names)+more <= math.MaxUint16 }
