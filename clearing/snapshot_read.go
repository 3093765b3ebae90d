package clearing

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"math"
	"runtime"
	"sync"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing/dispute"
	"github.com/tongma/tongma/clearing/journal"
	"github.com/tongma/tongma/schemes"
	"github.com/tongma/tongma/schemes/calendar"
)

// ErrSnapshotFormat: the snapshot is of another version of this program. It may be
// good, but not here.
var ErrSnapshotFormat = errors.New("clearing: the snapshot has another format")

// ParseSnapshot reads what AppendSnapshot wrote: the Book, and the position behind
// which it stands. What was damaged, or is not whole, is refused. Whoever uses the
// Book has to see that the journal has the batch of that position, with that hash.
func ParseSnapshot(data []byte) (*Book, journal.Position, error) {
	return ReadSnapshot(bytes.NewReader(data), int64(len(data)))
}

// ReadSnapshot is ParseSnapshot of a file of the given size. It uses all processors.
func ReadSnapshot(r io.Reader, size int64) (*Book, journal.Position, error) {
	s := &snapshotReader{r: r, size: size, sums: sha256.New(), book: NewBook(), jobs: make(chan func(), 2*runtime.GOMAXPROCS(0)), spare: make(chan []byte, 4*runtime.GOMAXPROCS(0))}
	for range runtime.GOMAXPROCS(0) {
		s.workers.Go(func() {
			for job := range s.jobs {
				job()
			}
		})
	}
	err := s.blocks()
	close(s.jobs)
	s.workers.Wait()
	if err = errors.Join(err, s.fault); err == nil {
		err = s.finish()
	}
	if err != nil {
		return nil, journal.Position{}, fmt.Errorf("clearing: snapshot: %w", err)
	}
	return s.book, s.at, nil
}

// snapshotReader reads blocks one by one and has them checked and taken apart by
// others: no block needs another but the head.
type snapshotReader struct {
	r     io.Reader
	size  int64
	sums  hash.Hash
	book  *Book
	at    journal.Position
	heads int // blocks read

	payments, fees, windows, crosses int // how many the head announces
	donePayments, doneFees           int // how many blocks before have
	window                           *window
	items                            int // that the window announces
	codes                            [2][]Digest
	words                            []string // quotes and rates

	jobs    chan func()
	spare   chan []byte // blocks that were taken apart
	workers sync.WaitGroup
	mu      sync.Mutex // guards fault; nothing is called while it is held
	fault   error
}

var errSnapshot = errors.New("it is damaged")

func (s *snapshotReader) fail(kind uint8, what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fault == nil {
		s.fault = fmt.Errorf("%w: block of kind %d: %s", errSnapshot, kind, what)
	}
}

func (s *snapshotReader) failed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fault != nil
}

// blocks reads all blocks, up to the end.
func (s *snapshotReader) blocks() error {
	for !s.failed() {
		head := make([]byte, blockHeadSize)
		if _, err := io.ReadFull(s.r, head); err != nil {
			return fmt.Errorf("%w: it ends early", errSnapshot)
		}
		kind, count, length := head[0], binary.BigEndian.Uint32(head[1:]), binary.BigEndian.Uint32(head[5:])
		if length > maxBlock || int64(length) > s.size {
			return fmt.Errorf("%w: a block of %d bytes", errSnapshot, length)
		}
		block := append(s.buffer(blockHeadSize+int(length)+sha256.Size), head...)
		block = block[:blockHeadSize+int(length)+sha256.Size]
		if _, err := io.ReadFull(s.r, block[blockHeadSize:]); err != nil {
			return fmt.Errorf("%w: it ends early", errSnapshot)
		}
		body, sum := block[:blockHeadSize+int(length)], block[blockHeadSize+int(length):]
		if kind == blockEnd {
			return s.end(body, sum)
		}
		s.sums.Write(sum)
		if err := s.take(kind, int(count), body, sum); err != nil {
			return err
		}
	}
	return nil
}

// buffer returns room for a block, used before if there is such: a fresh page costs
// more than what is read into it.
func (s *snapshotReader) buffer(size int) []byte {
	select {
	case b := <-s.spare:
		if cap(b) >= size {
			return b[:0]
		}
	default:
	}
	return make([]byte, 0, size+size/8)
}

func (s *snapshotReader) end(body, sum []byte) error {
	if got := sha256.Sum256(body); !bytes.Equal(got[:], sum) || !bytes.Equal(body[blockHeadSize:], s.sums.Sum(nil)) {
		return fmt.Errorf("%w: its end does not fit", errSnapshot)
	}
	if n, _ := s.r.Read(make([]byte, 1)); n > 0 {
		return fmt.Errorf("%w: it goes on behind its end", errSnapshot)
	}
	return nil
}

// take gives a block to whoever is free. What is needed for the blocks behind it is
// read at once.
func (s *snapshotReader) take(kind uint8, count int, body, sum []byte) error {
	check := func() bool {
		got := sha256.Sum256(body)
		if !bytes.Equal(got[:], sum) {
			s.fail(kind, "its sum does not match")
			return false
		}
		return true
	}
	r := &entryReader{b: body[blockHeadSize:]}
	done := func() {
		if r.bad || len(r.b) > 0 {
			s.fail(kind, "it does not read")
		}
	}
	first := s.heads == 0
	if s.heads++; first != (kind == blockHead) {
		return fmt.Errorf("%w: no head", errSnapshot)
	}
	later := func(read func()) {
		s.jobs <- func() {
			if check() {
				read()
				done()
			}
			select {
			case s.spare <- body:
			default:
			}
		}
	}
	switch kind {
	case blockPayments:
		block := s.donePayments / blockPaymentCount
		s.donePayments += count
		if count == 0 || s.donePayments > s.payments || (count != blockPaymentCount && s.donePayments != s.payments) {
			return fmt.Errorf("%w: too many payments, or too few", errSnapshot)
		}
		later(func() { s.readPayments(r, s.book.payments.chunks[block], block) })
		return nil
	case blockFees:
		from := s.doneFees
		s.doneFees += count
		if count == 0 || s.doneFees > s.fees || (count != blockItemCount && s.doneFees != s.fees) {
			return fmt.Errorf("%w: too many fees, or too few", errSnapshot)
		}
		later(func() { readFees(r, s.book.fees[from:from+count]) })
		return nil
	case blockCodes:
		if count > blockItemCount {
			return fmt.Errorf("%w: too many codes", errSnapshot)
		}
	case blockItems:
		return s.takeItems(r, count, later)
	}
	if !check() {
		return nil
	}
	if err := s.readSmall(kind, count, r); err != nil {
		return err
	}
	done()
	return nil
}

func (s *snapshotReader) takeItems(r *entryReader, count int, later func(func())) error {
	w := s.window
	if w == nil || count == 0 || len(w.items)+count > s.items {
		return fmt.Errorf("%w: postings of no window", errSnapshot)
	}
	from := len(w.items)
	w.items = w.items[:from+count]
	list := w.items[from:]
	later(func() {
		for i := range list {
			if x := r.take(8); x != nil {
				list[i] = item{binary.BigEndian.Uint32(x), binary.BigEndian.Uint32(x[4:])}
			}
		}
	})
	return nil
}

// readSmall reads a block that others may need, or that there is little of.
func (s *snapshotReader) readSmall(kind uint8, count int, r *entryReader) error {
	b := s.book
	switch kind {
	case blockHead:
		return s.readHead(r)
	case blockNames:
		b.names, b.numbers = b.names[:0], map[string]uint16{}
		for range count {
			name := r.word(maxName)
			if _, twice := b.numbers[name]; r.bad || twice || len(b.names) > math.MaxUint16 || (len(b.names) == 0) != (name == "") {
				r.bad = true
				break
			}
			b.numbers[name] = uint16(len(b.names))
			b.names = append(b.names, name)
		}
	case blockModels:
		for i := 0; i < count && i < maxModels && !r.bad; i++ {
			name := r.word(maxName)
			b.models = append(b.models, settlementModel{name: name, open: &window{id: tongma.WindowID(r.uvarint())}})
		}
	case blockAccounts:
		for i := 0; i < count && !r.bad; i++ {
			k := r.account()
			b.accounts[k] = &account{capped: r.yes(), cap: r.varint(), directed: r.varint(), capAt: uint64(r.varint()), prefunding: r.varint(), position: r.varint(), reserved: r.varint()}
		}
	case blockBlocked:
		for i := 0; i < count && !r.bad; i++ {
			n := r.short()
			b.blocked[n], b.kept[n] = r.yes(), r.yes()
		}
	case blockOrders:
		s.readOrders(r, count)
	case blockSponsors:
		s.readSponsors(r, count)
	case blockDisputes:
		s.readDisputes(r, count)
	case blockCrosses:
		s.readCrosses(r, count)
	case blockCodes:
		s.readCodes(r, count)
	case blockWindow:
		return s.readWindow(r)
	case blockShards:
		s.readShards(r)
	default:
		return fmt.Errorf("%w: a block of kind %d", ErrSnapshotFormat, kind)
	}
	return nil
}

// The things that a snapshot is made of, besides those of an entry.

func (r *entryReader) word(limit int) string {
	n := r.uvarint()
	if n > uint64(limit) {
		r.bad = true
		return ""
	}
	return string(r.take(int(n)))
}

func (r *entryReader) byte() byte {
	if x := r.take(1); x != nil {
		return x[0]
	}
	return 0
}

func (r *entryReader) yes() bool {
	x := r.byte()
	r.bad = r.bad || x > 1
	return x == 1
}

func (r *entryReader) short() uint16 {
	n := r.uvarint()
	r.bad = r.bad || n > math.MaxUint16
	return uint16(n)
}

func (r *entryReader) long() uint32 {
	n := r.uvarint()
	r.bad = r.bad || n > math.MaxUint32
	return uint32(n)
}

func (r *entryReader) account() accountKey {
	return accountKey{r.short(), tongma.Currency(r.short())}
}

func (r *entryReader) flowKey() flowKey {
	return flowKey{r.short(), r.short(), tongma.Currency(r.short())}
}

// count reads how many things follow; each takes at least one byte.
func (r *entryReader) count() int {
	n := r.uvarint()
	if n > uint64(len(r.b)) {
		r.bad = true
		return 0
	}
	return int(n)
}

func (r *entryReader) sums() (list sums) {
	for range r.count() {
		list = append(list, currencySum{tongma.Currency(r.short()), r.varint()})
	}
	return list
}

func (s *snapshotReader) readHead(r *entryReader) error {
	if title, version := r.word(len(snapshotTitle)), r.uvarint(); r.bad || title != snapshotTitle {
		return fmt.Errorf("%w: it is none", errSnapshot)
	} else if version != snapshotVersion {
		return fmt.Errorf("%w: version %d, this program reads %d", ErrSnapshotFormat, version, snapshotVersion)
	}
	b := s.book
	s.at = journal.Position{Shard: r.short(), Sequence: r.uvarint(), Epoch: r.uvarint(), Writer: r.uvarint(), Number: r.uvarint(), Next: r.uvarint()}
	if x := r.take(32); x != nil {
		s.at.Hash = [32]byte(x)
	}
	b.next, b.clock, b.directory, b.codeDay = r.uvarint(), int64(r.uvarint()), r.uvarint(), int64(r.uvarint())
	b.open, b.low = int(r.long()), r.long()
	payments, fees, windows, crosses := r.uvarint(), r.uvarint(), r.uvarint(), r.uvarint()
	b.held = r.sums()
	if x := r.take(32); x != nil {
		b.directoryHash = [32]byte(x)
	}
	// The least that a payment, a fee and a window take on disk bounds what is allocated.
	if size := uint64(s.size); r.bad || payments > maxPayments || payments > size/40 || fees > size/5 || crosses > size/9 || windows > size/40 || max(s.at.Next, 1) != b.next {
		return fmt.Errorf("%w: its head announces too much", errSnapshot)
	}
	s.payments, s.fees, s.windows, s.crosses = int(payments), int(fees), int(windows), int(crosses)
	b.payments, b.fees = makePayments(s.payments), make([]feeLeg, fees)
	b.texts.chunks = make([][]byte, (payments+blockPaymentCount-1)/blockPaymentCount)
	return nil
}

func (s *snapshotReader) readOrders(r *entryReader, count int) {
	for i := 0; i < count && !r.bad; i++ {
		key := r.word(tongma.MaxKey)
		o := &order{kind: Kind(r.byte()), state: Kind(r.byte()), account: r.account(), minor: r.varint(), maker: r.word(maxName), checker: r.word(maxName), capAt: r.uvarint()}
		s.book.orders[key] = o
	}
}

func (s *snapshotReader) readSponsors(r *entryReader, count int) {
	b := s.book
	for i := 0; i < count && !r.bad; i++ {
		x := sponsorship{r.uvarint(), r.short(), r.short()}
		b.sponsorships = append(b.sponsorships, x)
		if delete(b.sponsors, x.sub); x.sponsor != noName {
			b.sponsors[x.sub] = x.sponsor
		}
	}
	for len(r.b) > 0 && !r.bad {
		k := r.account()
		b.memos[k] = &memo{r.varint(), r.varint()}
	}
}

func (s *snapshotReader) readDisputes(r *entryReader, count int) {
	b := s.book
	for i := 0; i < count && !r.bad; i++ {
		var d disputed
		r.digest((*[16]byte)(&d.id))
		r.digest((*[16]byte)(&d.key))
		d.payment = r.long()
		d.amount, d.other, d.raisedAt, d.changedAt, d.deadline, d.entry = r.varint(), r.varint(), r.varint(), r.varint(), r.varint(), uint64(r.varint())
		d.authWindow, d.window, d.model = r.long(), r.long(), r.short()
		d.stage, d.code, d.maker, d.checker = dispute.Stage(r.byte()), r.word(maxRef), r.word(maxName), r.word(maxName)
		b.disputeByID[d.id], b.disputeByKey[d.key] = uint32(i), uint32(i)
		b.disputes = append(b.disputes, d)
	}
	for len(r.b) > 0 && !r.bad {
		i := r.long()
		b.claims[i] = claims{r.varint(), r.varint(), r.varint()}
	}
}

func (s *snapshotReader) readCrosses(r *entryReader, count int) {
	b := s.book
	for i := 0; i < count && !r.bad; i++ {
		x := cross{dealer: r.short(), currency: tongma.Currency(r.short()), target: r.varint(), refunded: r.varint(), refunding: r.varint(), disputed: r.varint(), back: r.varint()}
		s.words = append(s.words, r.word(maxRef), r.word(maxRate)) // kept when the texts of the payments are
		b.crosses = append(b.crosses, x)
	}
}

func (s *snapshotReader) readCodes(r *entryReader, count int) {
	day := r.byte()
	if day > 1 || count*16 != len(r.b) {
		r.bad = true
		return
	}
	for range count {
		s.codes[day] = append(s.codes[day], Digest(r.take(16)))
	}
}

// readPayments reads a block of payments, whose texts are a chunk of their own.
func (s *snapshotReader) readPayments(r *entryReader, list []payment, chunk int) {
	var before payment
	text := make([]byte, 0, len(r.b)/4)
	for i := range list {
		p := &list[i]
		r.payment(p, &before, func(ref []byte) textRef {
			at := len(text)
			text = append(text, ref...)
			return refTo(chunk, at, len(ref))
		})
		if r.bad {
			return
		}
		before = *p
	}
	s.book.texts.chunks[chunk] = text
}

func (r *entryReader) digest(dst *[16]byte) {
	if x := r.take(16); x != nil {
		*dst = [16]byte(x)
	}
}

func (r *entryReader) payment(p, before *payment, keep func([]byte) textRef) {
	bits := r.uvarint()
	r.bad = r.bad || bits >= hasUnknown
	r.digest((*[16]byte)(&p.id))
	r.digest((*[16]byte)(&p.key))
	if bits&hasOriginal != 0 {
		r.digest((*[16]byte)(&p.original))
	}
	if bits&hasContent != 0 {
		r.digest((*[16]byte)(&p.content))
	}
	if bits&hasCode != 0 {
		r.digest((*[16]byte)(&p.code))
	}
	p.op, p.phase = tongma.Operation(r.byte()), Kind(r.byte())
	p.currency = tongma.Currency(r.short())
	p.debtor, p.creditor, p.scheme, p.asker, p.model = r.short(), r.short(), r.short(), r.short(), r.short()
	p.authWindow, p.window = r.long(), r.long()
	p.amount = r.varint()
	p.heldAt = before.heldAt + r.varint()
	p.changedAt = p.heldAt + r.varint()
	p.entry = before.entry + uint64(r.varint())
	p.posted, p.late = bits&hasPosted != 0, bits&hasLate != 0
	if p.posted {
		p.captured = p.amount
	}
	if bits&hasRefunds != 0 {
		p.refunded, p.refunding = r.varint(), r.varint()
	}
	if bits&hasCaptured != 0 {
		p.captured = r.varint()
	}
	if bits&hasExpiry != 0 {
		p.expiry = p.heldAt + r.varint()
	}
	if bits&hasFees != 0 {
		p.feesAt, p.feeCount = r.long(), r.byte()
	}
	if bits&hasBack != 0 {
		p.backWindow = r.long()
	}
	if bits&hasRef != 0 {
		n := r.byte()
		r.bad = r.bad || n == 0 || n > maxRef
		if ref := r.take(int(n)); ref != nil {
			p.schemeRef = keep(ref)
		}
	}
	if bits&hasApproval != 0 {
		p.approvalSize = r.byte()
		r.bad = r.bad || p.approvalSize == 0 || p.approvalSize > maxApproval
		copy(p.approval[:], r.take(maxApproval))
	}
	if bits&hasTail != 0 {
		copy(p.codeTail[:], r.take(maxTail))
	}
	if bits&hasReason != 0 {
		p.reason = tongma.Reason(r.short())
	}
	if bits&hasCross != 0 {
		p.cross = r.long()
	}
}

func readFees(r *entryReader, list []feeLeg) {
	for i := range list {
		f := &list[i]
		f.kind, f.onRefund = schemes.FeeKind(r.byte()), schemes.OnRefund(r.byte())
		f.from, f.to, f.minor = r.short(), r.short(), r.varint()
		if r.bad {
			return
		}
	}
}

func (s *snapshotReader) readWindow(r *entryReader) error {
	if s.window != nil && len(s.window.items) != s.items {
		return fmt.Errorf("%w: postings of a window are missing", errSnapshot)
	}
	b := s.book
	w := &window{id: tongma.WindowID(r.uvarint()), model: r.short(), method: calendar.Model(r.byte()), state: WindowState(r.byte()), flows: map[flowKey]*flow{}}
	w.opened, w.closed, w.openedAt, w.closedAt, w.cutoff, w.valueDate = uint64(r.varint()), uint64(r.varint()), r.varint(), r.varint(), r.varint(), uint32(r.varint())
	w.calendar, w.directory, w.recasting, w.recastOf = r.word(maxCalendar), r.uvarint(), r.yes(), tongma.Currency(r.short())
	for range r.count() {
		if w.gone == nil {
			w.gone = map[uint32]bool{}
		}
		w.gone[r.long()] = true
	}
	if x := r.take(32); x != nil {
		w.sheet = [32]byte(x)
	}
	w.gross = r.sums()
	for range r.count() {
		k := r.flowKey()
		w.flows[k] = &flow{r.varint(), r.varint(), r.varint()}
	}
	for range r.count() {
		entry, k := r.uvarint(), r.flowKey()
		d := debt{entry: entry, from: k.debtor, to: k.creditor, currency: k.currency, minor: r.varint(), of: tongma.WindowID(r.uvarint())}
		r.digest((*[16]byte)(&d.dispute))
		d.ref, d.fee, d.deferred, d.deferredTo, d.gone = r.word(maxRef), schemes.FeeKind(r.byte()), r.yes(), r.long(), r.yes()
		w.debts = append(w.debts, d)
	}
	if n := r.count(); w.state >= WindowInstructed {
		w.legs = make([]leg, 0, n)
		for range n {
			k := r.flowKey()
			w.legs = append(w.legs, leg{k.debtor, k.creditor, k.currency, r.varint(), r.varint(), r.long(), r.yes()})
		}
	}
	for range r.count() {
		entry, kind, k := r.uvarint(), Kind(r.byte()), r.flowKey()
		w.tell(told{entry: entry, kind: kind, from: k.debtor, to: k.creditor, currency: k.currency, payer: r.short(), minor: r.varint(), id: r.word(maxRef), prefunded: r.yes(),
			of: Kind(r.byte()), maker: r.word(maxName), key: r.word(tongma.MaxKey)})
	}
	for range r.count() {
		if w.memos == nil {
			w.memos = map[accountKey]windowMemo{}
		}
		k := r.account()
		w.memos[k] = windowMemo{r.varint(), r.varint()}
	}
	items := r.uvarint()
	if r.bad || items > uint64(s.size)/8 || int(w.id) != len(b.windows)+1 || len(b.windows) >= s.windows {
		return fmt.Errorf("%w: a window that does not fit", errSnapshot)
	}
	if items > 0 {
		w.items = make([]item, 0, items)
	}
	s.window, s.items = w, int(items)
	b.windows = append(b.windows, w)
	return nil
}

// finish makes what can be found again from what was read, and holds every number in
// it against what it stands for.
func (s *snapshotReader) finish() error {
	b := s.book
	if s.donePayments != s.payments || s.doneFees != s.fees || len(b.windows) != s.windows || len(b.crosses) != s.crosses || (s.window != nil && len(s.window.items) != s.items) {
		return fmt.Errorf("%w: it is not whole", errSnapshot)
	}
	for i := range b.models {
		m := &b.models[i]
		if m.open = b.window(m.open.id); m.open == nil || m.open.state != WindowOpen || int(m.open.model) != i {
			return fmt.Errorf("%w: a model without an open window", errSnapshot)
		}
	}
	for i := range b.crosses {
		b.crosses[i].quote, b.crosses[i].rate = b.texts.put(s.words[2*i]), b.texts.put(s.words[2*i+1])
	}
	var both sync.WaitGroup
	both.Go(func() {
		b.byID.fill(b.payments.len(), func(i int) *[16]byte { return (*[16]byte)(&b.payments.at(uint32(i)).id) })
	})
	both.Go(func() {
		b.byKey.fill(b.payments.len(), func(i int) *[16]byte { return (*[16]byte)(&b.payments.at(uint32(i)).key) })
	})
	both.Go(func() {
		for day, list := range s.codes {
			b.codes[day].expect(len(list))
			for _, d := range list {
				b.codes[day].put(d)
			}
		}
	})
	err := b.sound()
	both.Wait()
	return err
}

// sound holds that every number of a Book that was read stands for something: a
// snapshot with a good sum may still have been written by a program that was wrong.
func (b *Book) sound() error {
	names, windows := len(b.names), uint32(len(b.windows))
	bad := func(what string) error { return fmt.Errorf("%w: %s", errSnapshot, what) }
	if names == 0 || int(b.low) > b.payments.len() || (b.payments.len() > 0 && len(b.models) == 0) {
		return bad("names, or models")
	}
	for i := range b.payments.len() {
		p := b.payments.at(uint32(i))
		if int(max(p.debtor, p.creditor, p.scheme, p.asker)) >= names || int(p.model) >= len(b.models) || max(p.authWindow, p.window, p.backWindow) > windows ||
			p.authWindow == 0 || kindNames[p.phase] == "" || int(p.feesAt)+int(p.feeCount) > len(b.fees) || p.feeCount > MaxLegs || int(p.cross) > len(b.crosses) {
			return bad(fmt.Sprintf("payment %d", i))
		}
	}
	for i := range b.crosses {
		if int(b.crosses[i].dealer) >= names {
			return bad("a dealer")
		}
	}
	for i := range b.fees {
		if f := &b.fees[i]; int(max(f.from, f.to)) >= names {
			return bad(fmt.Sprintf("fee %d", i))
		}
	}
	for k := range b.accounts {
		if int(k.participant) >= names {
			return bad("an account")
		}
	}
	for k := range b.memos {
		if int(k.participant) >= names {
			return bad("a memo account")
		}
	}
	for _, x := range b.sponsorships {
		if int(max(x.sub, x.sponsor)) >= names {
			return bad("a sponsor")
		}
	}
	for i := range b.disputes {
		if d := &b.disputes[i]; int(d.payment) >= b.payments.len() || int(d.model) >= len(b.models) || !d.stage.Known() || max(d.authWindow, d.window) > windows {
			return bad("a dispute")
		}
	}
	for _, o := range b.orders {
		if b.accounts[o.account] == nil {
			return bad("an order")
		}
	}
	for _, w := range b.windows {
		if !b.soundWindow(w) {
			return bad("window " + w.id.String())
		}
	}
	return nil
}

func (b *Book) soundWindow(w *window) bool {
	names := len(b.names)
	ok := int(w.model) < len(b.models) && w.state <= WindowSettled && w.method <= calendar.Gross && w.method != calendar.Multilateral
	for k := range w.flows {
		ok = ok && int(max(k.debtor, k.creditor)) < names
	}
	for k := range w.memos {
		ok = ok && int(k.participant) < names
	}
	for _, d := range w.debts {
		ok = ok && int(max(d.from, d.to)) < names
	}
	for _, l := range w.legs {
		ok = ok && int(max(l.one, l.other)) < names
	}
	for _, t := range w.told {
		ok = ok && int(max(t.from, t.to, t.payer)) < names
	}
	for _, it := range w.items {
		ok = ok && int(it.payment&itemPayment) < b.payments.len()
	}
	return ok
}
