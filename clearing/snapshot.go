package clearing

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"io"
	"maps"
	"slices"

	"github.com/tongma/tongma/clearing/journal"
)

// A snapshot is the Book at one position of the journal, so that a start need not
// read what is in front of it. It is a cache: whoever uses one checks that the
// journal has that batch, by its hash, and can do without it.
//
// It is a row of blocks. A block is its kind (1 byte), the number of things in it
// and the length of its payload (4 bytes each, big-endian), the payload, and the
// SHA-256 of all of that. The first block is the head, with the title, the version,
// the position and how much follows; the last one is the end, whose payload is the
// SHA-256 of the sums of all blocks before it. What is kept in maps is written in
// order: the same Book at the same position gives the same bytes. Numbers are
// varints unless said otherwise.
const (
	snapshotTitle   = "tongma book"
	snapshotVersion = 5
)

const (
	blockHead uint8 = iota + 1
	blockNames
	blockModels
	blockAccounts
	blockBlocked
	blockOrders
	blockSponsors
	blockDisputes
	blockPayments
	blockCrosses
	blockFees
	blockCodes
	blockWindow
	blockItems
	blockEnd
	blockShards
)

// Bounds of a block, so that a damaged one is refused and not allocated.
const (
	blockPaymentCount = paymentsInChunk
	blockItemCount    = 1 << 17
	blockHeadSize     = 9
	maxBlock          = 1 << 30
)

// snapshotWriter writes blocks; the first fault stops it.
type snapshotWriter struct {
	w    io.Writer
	buf  []byte
	sums hash.Hash
	err  error
}

// begin starts a block; its bytes are appended to buf, and end sends them.
func (s *snapshotWriter) begin(kind uint8) {
	s.buf = append(s.buf[:0], kind, 0, 0, 0, 0, 0, 0, 0, 0)
}

func (s *snapshotWriter) end(count int) {
	binary.BigEndian.PutUint32(s.buf[1:], uint32(count))
	binary.BigEndian.PutUint32(s.buf[5:], uint32(len(s.buf)-blockHeadSize))
	sum := sha256.Sum256(s.buf)
	s.sums.Write(sum[:])
	s.buf = append(s.buf, sum[:]...)
	if s.err == nil {
		_, s.err = s.w.Write(s.buf)
	}
}

func (s *snapshotWriter) number(n int64)    { s.buf = binary.AppendVarint(s.buf, n) }
func (s *snapshotWriter) unsigned(n uint64) { s.buf = binary.AppendUvarint(s.buf, n) }
func (s *snapshotWriter) bytes(b []byte)    { s.buf = append(s.buf, b...) }
func (s *snapshotWriter) text(t string) {
	s.unsigned(uint64(len(t)))
	s.buf = append(s.buf, t...)
}

func (s *snapshotWriter) yes(on bool) {
	n := byte(0)
	if on {
		n = 1
	}
	s.buf = append(s.buf, n)
}

// AppendSnapshot appends the Book as it stands behind the position, which is that of
// the batch with the last entry that was applied.
func (b *Book) AppendSnapshot(dst []byte, at journal.Position) []byte {
	out := bytes.NewBuffer(dst)
	_ = b.WriteSnapshot(out, at) // a Buffer takes everything
	return out.Bytes()
}

// WriteSnapshot writes what AppendSnapshot appends. The Book must not change
// meanwhile.
func (b *Book) WriteSnapshot(w io.Writer, at journal.Position) error {
	s := &snapshotWriter{w: w, sums: sha256.New(), buf: make([]byte, 0, 64<<10)}
	b.writeHead(s, at)
	b.writeFew(s)
	b.writeDisputes(s)
	b.writePayments(s)
	b.writeCrosses(s)
	b.writeFees(s)
	for n := range b.codes {
		b.writeCodes(s, n)
	}
	for _, win := range b.windows {
		b.writeWindow(s, win)
		b.writeItems(s, win)
	}
	b.writeShards(s)
	s.begin(blockEnd)
	s.bytes(s.sums.Sum(nil))
	s.end(0)
	return s.err
}

func (b *Book) writeHead(s *snapshotWriter, at journal.Position) {
	s.begin(blockHead)
	s.text(snapshotTitle)
	s.unsigned(snapshotVersion)
	for _, n := range []uint64{uint64(at.Shard), at.Sequence, at.Epoch, at.Writer, at.Number, at.Next} {
		s.unsigned(n)
	}
	s.bytes(at.Hash[:])
	for _, n := range []uint64{b.next, uint64(b.clock), b.directory, uint64(b.codeDay), uint64(b.open), uint64(b.low),
		uint64(b.payments.len()), uint64(len(b.fees)), uint64(len(b.windows)), uint64(len(b.crosses))} {
		s.unsigned(n)
	}
	s.sums2(b.held)
	s.bytes(b.directoryHash[:])
	s.end(0)
}

func (s *snapshotWriter) sums2(list sums) {
	s.unsigned(uint64(len(list)))
	for _, x := range list {
		s.unsigned(uint64(x.currency))
		s.number(x.minor)
	}
}

func (s *snapshotWriter) account(k accountKey) {
	s.unsigned(uint64(k.participant))
	s.unsigned(uint64(k.currency))
}

func byAccount(x, y accountKey) int {
	return cmp.Or(cmp.Compare(x.participant, y.participant), cmp.Compare(x.currency, y.currency))
}

// writeFew writes what there is little of.
func (b *Book) writeFew(s *snapshotWriter) {
	s.begin(blockNames)
	for _, name := range b.names {
		s.text(name)
	}
	s.end(len(b.names))

	s.begin(blockModels)
	for _, m := range b.models {
		s.text(m.name)
		s.unsigned(uint64(m.open.id))
	}
	s.end(len(b.models))

	s.begin(blockAccounts)
	for _, k := range slices.SortedFunc(maps.Keys(b.accounts), byAccount) {
		a := b.accounts[k]
		s.account(k)
		s.yes(a.capped)
		for _, n := range []int64{a.cap, a.directed, int64(a.capAt), a.prefunding, a.position, a.reserved} {
			s.number(n)
		}
	}
	s.end(len(b.accounts))

	s.begin(blockBlocked)
	for _, n := range slices.Sorted(maps.Keys(b.blocked)) {
		s.unsigned(uint64(n))
		s.yes(b.blocked[n])
		s.yes(b.kept[n])
	}
	s.end(len(b.blocked))

	s.begin(blockOrders)
	for _, key := range slices.Sorted(maps.Keys(b.orders)) {
		o := b.orders[key]
		s.text(key)
		s.bytes([]byte{byte(o.kind), byte(o.state)})
		s.account(o.account)
		s.number(o.minor)
		s.text(o.maker)
		s.text(o.checker)
		s.unsigned(o.capAt)
	}
	s.end(len(b.orders))

	s.begin(blockSponsors)
	for _, x := range b.sponsorships {
		s.unsigned(x.entry)
		s.unsigned(uint64(x.sub))
		s.unsigned(uint64(x.sponsor))
	}
	for _, k := range slices.SortedFunc(maps.Keys(b.memos), byAccount) {
		s.account(k)
		s.number(b.memos[k].position)
		s.number(b.memos[k].reserved)
	}
	s.end(len(b.sponsorships))
}

func (b *Book) writeDisputes(s *snapshotWriter) {
	s.begin(blockDisputes)
	for i := range b.disputes {
		d := &b.disputes[i]
		s.bytes(d.id[:])
		s.bytes(d.key[:])
		s.unsigned(uint64(d.payment))
		for _, n := range [...]int64{d.amount, d.other, d.raisedAt, d.changedAt, d.deadline, int64(d.entry)} {
			s.number(n)
		}
		s.unsigned(uint64(d.authWindow))
		s.unsigned(uint64(d.window))
		s.unsigned(uint64(d.model))
		s.bytes([]byte{byte(d.stage)})
		s.text(d.code)
		s.text(d.maker)
		s.text(d.checker)
	}
	for _, i := range slices.Sorted(maps.Keys(b.claims)) {
		s.unsigned(uint64(i))
		s.number(b.claims[i].open)
		s.number(b.claims[i].chargedBack)
		s.number(b.claims[i].feesBack)
	}
	s.end(len(b.disputes))
}

// Which of a payment's fields follow.
const (
	hasOriginal = 1 << iota
	hasContent
	hasCode
	hasRefunds
	hasCaptured // less than was held
	hasExpiry
	hasFees
	hasBack
	hasPosted
	hasLate
	hasRef
	hasApproval
	hasTail
	hasReason
	hasCross
	hasUnknown // and all above
)

func (b *Book) writePayments(s *snapshotWriter) {
	for _, list := range b.payments.chunks {
		s.begin(blockPayments)
		var before payment
		for i := range list {
			b.writePayment(s, &list[i], &before)
			before = list[i]
		}
		s.end(len(list))
	}
}

// writePayment writes a payment by its difference to the one before it.
func (b *Book) writePayment(s *snapshotWriter, p, before *payment) {
	ref := b.texts.get(p.schemeRef)
	bits := uint64(0)
	for i, on := range [...]bool{!p.original.IsZero(), p.content != Digest{}, p.code != Digest{}, p.refunded != 0 || p.refunding != 0, p.posted && p.captured != p.amount,
		p.expiry != 0, p.feeCount != 0, p.backWindow != 0, p.posted, p.late, len(ref) > 0, p.approvalSize != 0, p.codeTail != [maxTail]byte{}, p.reason != 0, p.cross != 0} {
		if on {
			bits |= 1 << i
		}
	}
	s.unsigned(bits)
	s.bytes(p.id[:])
	s.bytes(p.key[:])
	if bits&hasOriginal != 0 {
		s.bytes(p.original[:])
	}
	if bits&hasContent != 0 {
		s.bytes(p.content[:])
	}
	if bits&hasCode != 0 {
		s.bytes(p.code[:])
	}
	s.bytes([]byte{byte(p.op), byte(p.phase)})
	for _, n := range [...]uint64{uint64(p.currency), uint64(p.debtor), uint64(p.creditor), uint64(p.scheme), uint64(p.asker), uint64(p.model), uint64(p.authWindow), uint64(p.window)} {
		s.unsigned(n)
	}
	s.number(p.amount)
	s.number(p.heldAt - before.heldAt)
	s.number(p.changedAt - p.heldAt)
	s.number(int64(p.entry - before.entry))
	if bits&hasRefunds != 0 {
		s.number(p.refunded)
		s.number(p.refunding)
	}
	if bits&hasCaptured != 0 {
		s.number(p.captured)
	}
	if bits&hasExpiry != 0 {
		s.number(p.expiry - p.heldAt)
	}
	if bits&hasFees != 0 {
		s.unsigned(uint64(p.feesAt))
		s.bytes([]byte{p.feeCount})
	}
	if bits&hasBack != 0 {
		s.unsigned(uint64(p.backWindow))
	}
	if bits&hasRef != 0 {
		s.bytes([]byte{byte(len(ref))})
		s.bytes(ref)
	}
	if bits&hasApproval != 0 {
		s.bytes([]byte{p.approvalSize})
		s.bytes(p.approval[:])
	}
	if bits&hasTail != 0 {
		s.bytes(p.codeTail[:])
	}
	if bits&hasReason != 0 {
		s.unsigned(uint64(p.reason))
	}
	if bits&hasCross != 0 {
		s.unsigned(uint64(p.cross))
	}
}

// writeCrosses writes the second sides of payments in two currencies.
func (b *Book) writeCrosses(s *snapshotWriter) {
	for from := 0; from < len(b.crosses); from += blockPaymentCount {
		list := b.crosses[from:min(from+blockPaymentCount, len(b.crosses))]
		s.begin(blockCrosses)
		for i := range list {
			x := &list[i]
			s.unsigned(uint64(x.dealer))
			s.unsigned(uint64(x.currency))
			for _, n := range [...]int64{x.target, x.refunded, x.refunding, x.disputed, x.back} {
				s.number(n)
			}
			s.text(string(b.texts.get(x.quote)))
			s.text(string(b.texts.get(x.rate)))
		}
		s.end(len(list))
	}
}

func (b *Book) writeFees(s *snapshotWriter) {
	for from := 0; from < len(b.fees); from += blockItemCount {
		list := b.fees[from:min(from+blockItemCount, len(b.fees))]
		s.begin(blockFees)
		for _, f := range list {
			s.bytes([]byte{byte(f.kind), byte(f.onRefund)})
			s.unsigned(uint64(f.from))
			s.unsigned(uint64(f.to))
			s.number(f.minor)
		}
		s.end(len(list))
	}
}

// writeCodes writes the codes spent on one of the two days, in order.
func (b *Book) writeCodes(s *snapshotWriter, day int) {
	list := make([]Digest, 0, b.codes[day].count)
	b.codes[day].each(func(d Digest) { list = append(list, d) })
	// In the order of their tables, in which they are quickest put back.
	slices.SortFunc(list, func(x, y Digest) int { return cmp.Or(cmp.Compare(x.tag(), y.tag()), bytes.Compare(x[:], y[:])) })
	for from := 0; from < len(list); from += blockItemCount {
		part := list[from:min(from+blockItemCount, len(list))]
		s.begin(blockCodes)
		s.bytes([]byte{byte(day)})
		for i := range part {
			s.bytes(part[i][:])
		}
		s.end(len(part))
	}
}

func (s *snapshotWriter) flowKey(k flowKey) {
	s.unsigned(uint64(k.debtor))
	s.unsigned(uint64(k.creditor))
	s.unsigned(uint64(k.currency))
}

func byFlow(x, y flowKey) int {
	return cmp.Or(cmp.Compare(x.debtor, y.debtor), cmp.Compare(x.creditor, y.creditor), cmp.Compare(x.currency, y.currency))
}

func (b *Book) writeWindow(s *snapshotWriter, w *window) {
	s.begin(blockWindow)
	s.unsigned(uint64(w.id))
	s.unsigned(uint64(w.model))
	s.bytes([]byte{byte(w.method), byte(w.state)})
	for _, n := range []int64{int64(w.opened), int64(w.closed), w.openedAt, w.closedAt, w.cutoff, int64(w.valueDate)} {
		s.number(n)
	}
	s.text(w.calendar)
	s.unsigned(w.directory)
	s.yes(w.recasting)
	s.unsigned(uint64(w.recastOf))
	s.unsigned(uint64(len(w.gone)))
	for _, i := range slices.Sorted(maps.Keys(w.gone)) {
		s.unsigned(uint64(i))
	}
	s.bytes(w.sheet[:])
	s.sums2(w.gross)
	s.unsigned(uint64(len(w.flows)))
	for _, k := range slices.SortedFunc(maps.Keys(w.flows), byFlow) {
		f := w.flows[k]
		s.flowKey(k)
		s.number(f.gross)
		s.number(f.count)
		s.number(f.fees)
	}
	s.unsigned(uint64(len(w.debts)))
	for _, d := range w.debts {
		s.unsigned(d.entry)
		s.flowKey(flowKey{d.from, d.to, d.currency})
		s.number(d.minor)
		s.unsigned(uint64(d.of))
		s.bytes(d.dispute[:])
		s.text(d.ref)
		s.bytes([]byte{byte(d.fee)})
		s.yes(d.deferred)
		s.unsigned(uint64(d.deferredTo))
		s.yes(d.gone)
	}
	s.unsigned(uint64(len(w.legs)))
	for _, l := range w.legs {
		s.flowKey(flowKey{l.one, l.other, l.currency})
		s.number(l.net)
		s.number(l.done)
		s.unsigned(uint64(l.tries))
		s.yes(l.short)
	}
	s.unsigned(uint64(len(w.told)))
	for _, t := range w.told {
		s.unsigned(t.entry)
		s.bytes([]byte{byte(t.kind)})
		s.flowKey(flowKey{t.from, t.to, t.currency})
		s.unsigned(uint64(t.payer))
		s.number(t.minor)
		s.text(t.id)
		s.yes(t.prefunded)
		s.bytes([]byte{byte(t.of)})
		s.text(t.maker)
		s.text(t.key)
	}
	s.unsigned(uint64(len(w.memos)))
	for _, k := range slices.SortedFunc(maps.Keys(w.memos), byAccount) {
		s.account(k)
		s.number(w.memos[k].minor)
		s.number(w.memos[k].count)
	}
	s.unsigned(uint64(len(w.items)))
	s.end(0)
}

// writeItems writes the postings of a window, eight bytes each.
func (b *Book) writeItems(s *snapshotWriter, w *window) {
	for from := 0; from < len(w.items); from += blockItemCount {
		list := w.items[from:min(from+blockItemCount, len(w.items))]
		s.begin(blockItems)
		for _, it := range list {
			s.buf = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(s.buf, it.payment), it.behind)
		}
		s.end(len(list))
	}
}
