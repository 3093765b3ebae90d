package clearing

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing/journal"
)

// Ledger is the Book and its journal as one: the only writer of a shard. Callers
// submit entries from any goroutine; one goroutine applies them to the Book in
// the order of arrival and commits them in groups. Nobody hears of an entry, nor
// of a refusal that rests on one, before it is durable.
type Ledger struct {
	store journal.Store
	log   *journal.Log
	book  *Book
	opts  LedgerOptions

	// mu guards queue, calls and err. Nothing else is taken while it is held.
	mu    sync.Mutex
	queue []*submission
	calls int   // how many must be in the queue until the writer is called
	err   error // why nothing more is accepted

	// The writer's own.
	flying *group        // on its way to the disk, or nil
	acks   chan error    // what became of it
	took   time.Duration // to store the last one; run's once it is acknowledged
	takes  time.Duration // to store one, of late
	apart  bool          // those who wait are better off in two groups that take turns
	taken  []*submission // off the queue, being applied
	fault  error         // of the Book
	seen   uint32        // by looking ahead: means nothing

	wake    chan struct{}
	quit    chan struct{}
	stopped chan struct{}
	life    context.Context // of the commits
	giveUp  func()          // ends life: what is in flight then is left to the next start
	once    sync.Once       // closes quit
	pool    sync.Pool
}

// LedgerOptions are the edges of a Ledger.
type LedgerOptions struct {
	Shard        uint16
	Now          func() int64                   // Unix milliseconds; required
	QueueLimit   int                            // submissions waiting before Overloaded; default 65,536
	OnCommit     func(batch uint64, es []Entry) // called in order after each durable batch that has entries; must not block for long
	OnReplay     func(es []Entry)               // called for each batch that is read at the start
	Journal      []journal.Option               // such as where to keep the checkpoint
	CommitWithin time.Duration                  // how long a batch may take before the store counts as broken; default 15 s
	CloseGrace   time.Duration                  // how long Close waits for the batch in flight; default 5 s

	Snapshot SnapshotOptions // where to keep a snapshot of the Book; the zero value keeps none

	// Pace is called behind each answer, before the next one is given. A simulation
	// that must repeat waits in it until whoever was told has gone as far as it can;
	// without it those who are told together come back in any order. Nil: nothing.
	Pace func()

	snapshots *snapshots // of the Book that is read in

	// Confirm asks the store, before an answer that writes nothing is given, whether
	// another writer has come. Set it where a standby may take over: without it a
	// deposed Ledger that is idle answers looks and repeats from a Book that is old.
	Confirm bool
}

func (o *LedgerOptions) defaults() {
	o.QueueLimit = cmp.Or(o.QueueLimit, 1<<16)
	o.CommitWithin = cmp.Or(o.CommitWithin, 15*time.Second)
	o.CloseGrace = cmp.Or(o.CloseGrace, 5*time.Second)
	if o.Pace == nil {
		o.Pace = func() {}
	}
}

// Draft is an entry that is asked for, and what became of it. It is large: who writes
// many uses one again and again.
type Draft struct {
	Entry   Entry   // completed once it was written
	Verdict Verdict // its Payment is nil if the entry was written, unless View is set
	View    bool    // how the payment stands then is wanted too
	payment Payment // of Verdict
}

// submission is one caller waiting. Its owner is the caller until it is queued,
// the writer until done is signalled, then the caller again.
type submission struct {
	hands   atomic.Uint32 // whose it is: unread, inHand or withdrawn
	confirm bool          // whether we are still the writer
	read    func(*Book)
	err     error
	done    chan struct{}
	draft   *Draft // or nil: it only reads
	key     Digest // of its entry
	askable bool   // as is this
	verdict Verdict
}

// In whose hands a submission is: whoever changes unread to another decides whether
// it is written.
const (
	unread uint32 = iota
	inHand
	withdrawn
)

// ErrNotWritten is in the error of a Submit whose context ended before the writer had
// come to its entry: it is not in the journal and will not be. What the journal says
// of the payment otherwise, such as of an earlier entry under its key, stays unknown
// to who asked, as the error's reason says.
var ErrNotWritten = errors.New("clearing: given up before it was written")

// OpenLedger reads the whole journal into a Book, becomes its writer by an epoch
// record, and opens the first window if there is none. It fails, and says where,
// if the journal's chain or the Book's rules are broken. What it does is what a
// Standby does that takes over as soon as it has read.
func OpenLedger(ctx context.Context, store journal.Store, opts LedgerOptions) (*Ledger, error) {
	s, err := readIn(ctx, store, opts)
	if err != nil {
		return nil, err
	}
	l, err := s.enter(ctx, ctx)
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return l, nil
}

// start runs the writer of a Book whose journal's writer log has become.
func start(store journal.Store, log *journal.Log, book *Book, opts LedgerOptions) *Ledger {
	l := &Ledger{calls: 1, store: store, log: log, book: book, opts: opts, acks: make(chan error, 1), wake: make(chan struct{}, 1), quit: make(chan struct{}), stopped: make(chan struct{})}
	l.life, l.giveUp = context.WithCancel(context.Background())
	l.pool.New = func() any { return &submission{done: make(chan struct{}, 1)} }
	go l.run()
	return l
}

// Replay applies the entries of a batch, and shows them to see, if given.
func (b *Book) Replay(batch journal.Batch, see func([]Entry)) error {
	var seen []Entry
	for i, data := range batch.Entries {
		e, err := ParseEntry(data)
		if err != nil {
			return err
		}
		if e.Number != batch.First+uint64(i) {
			return b.broken(&e, "number differs from its place in the batch")
		}
		if err := b.Apply(&e); err != nil {
			return err
		}
		if see != nil {
			seen = append(seen, e)
		}
	}
	if see != nil {
		see(seen)
	}
	return nil
}

// Submit is Write of e in a Draft of its own.
func (l *Ledger) Submit(ctx context.Context, e Entry) (Result, error) {
	d := &Draft{Entry: e, View: true}
	if err := l.Write(ctx, d); err != nil {
		return Result{Verdict{Payment: &Payment{}}, &Entry{}}, err // not of d: the writer may have it still
	}
	r := Result{d.Verdict, &d.Entry}
	if r.Payment == nil {
		r.Payment = &d.payment
	}
	return r, nil
}

// Write proposes d's entry and waits until it, or what it was refused for, is durable.
// The verdict tells whether it was written. An error means that nothing is decided:
// JournalStopped, SteppedDown and Overloaded if nothing was written, JournalInDoubt if
// that is not known. If ctx ends while the entry waits for its turn, as behind a
// journal that stands still, it is taken back: see ErrNotWritten. After an error d is
// the writer's for good.
func (l *Ledger) Write(ctx context.Context, d *Draft) error {
	s := l.pool.Get().(*submission)
	s.draft, s.key, s.askable, s.read, s.confirm = d, d.Entry.keyDigest(), d.Entry.askable(), nil, false
	s.hands.Store(unread)
	if err := l.wait(ctx, s); err != nil {
		return err
	}
	d.Verdict = s.verdict
	s.draft, s.verdict = nil, Verdict{}
	l.pool.Put(s)
	return nil
}

// Result is the verdict on an entry, and the entry as it was completed. Both are the
// caller's. Neither Entry nor Payment is ever nil: where there is none, it is empty.
type Result struct {
	Verdict
	Entry *Entry
}

// Read runs see on the Book, on the writer's goroutine, and returns when all
// that it could see is durable. see must be quick and keep nothing of the Book.
func (l *Ledger) Read(ctx context.Context, see func(*Book)) error {
	return l.look(ctx, see, false)
}

// Confirm asks the store whether another writer has come, and returns nil if
// none had at some moment during the call. If one has, the Ledger stops with
// SteppedDown. On a cluster it is the stream's leader who answers: one that is cut
// off from the others may take itself for the leader for some seconds more.
func (l *Ledger) Confirm(ctx context.Context) error {
	return l.look(ctx, func(*Book) {}, true)
}

func (l *Ledger) look(ctx context.Context, see func(*Book), confirm bool) error {
	s := l.pool.Get().(*submission)
	s.read, s.confirm = see, confirm
	s.hands.Store(unread)
	if err := l.wait(ctx, s); err != nil {
		return err
	}
	l.pool.Put(s)
	return nil
}

// wait queues s until it is done. A submission that is given up is not reused.
func (l *Ledger) wait(ctx context.Context, s *submission) error {
	s.err = nil
	l.mu.Lock()
	err := l.err
	if err == nil && len(l.queue) >= l.opts.QueueLimit {
		err = &tongma.Error{Op: "clearing.Submit", Reason: tongma.Overloaded}
	}
	if err == nil {
		l.queue = append(l.queue, s)
	}
	call := len(l.queue) == l.calls
	l.mu.Unlock()
	if err != nil {
		return err
	}
	if call {
		l.signal()
	}
	if ctx.Done() == nil {
		<-s.done
		return s.err
	}
	select {
	case <-s.done:
		return s.err
	case <-ctx.Done():
		err = ctx.Err()
		if s.hands.CompareAndSwap(unread, withdrawn) {
			err = errors.Join(ErrNotWritten, err)
		}
		return &tongma.Error{Op: "clearing.Submit", Reason: tongma.JournalInDoubt, Err: err}
	}
}

func (l *Ledger) signal() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// group is a batch in the making, and those who wait for it.
type group struct {
	waiting   []*submission
	entries   []Entry // for OnCommit
	batch     journal.Group
	next      uint64 // number behind the last entry
	time      int64  // of the last entry, as is directory
	directory uint64
	number    uint64 // of the batch, once it is durable
	confirm   bool   // somebody wants to know whether we are still the writer
}

func (g *group) reset() {
	clear(g.waiting)
	clear(g.entries)
	g.waiting, g.entries, g.confirm = g.waiting[:0], g.entries[:0], false
	g.batch.Reset()
}

// idle tells whether those in the group wait for nothing: they only read, or repeat
// what is durable already.
func (g *group) idle() bool { return g.batch.Len() == 0 && !g.confirm }

// maxWaiting bounds a group by those who wait for it: repeats and reads make no
// entries. No entry of theirs is longer than longEntry.
const (
	maxWaiting = 4 * journal.MaxEntries
	longEntry  = 4096
)

func (g *group) full() bool { return g.batch.Full(longEntry) || len(g.waiting) >= maxWaiting }

// run owns the Book. While one group is on its way to the disk, the next one is
// applied and encoded; it is sent when the first is acknowledged. One batch in
// flight, never two: only so does the expected sequence fence off another writer.
func (l *Ledger) run() {
	defer close(l.stopped)
	defer l.giveUp()
	next, other := &group{}, &group{}
	for {
		l.listen()
		l.gather(next)
		if l.fault != nil {
			l.end(next, l.fault)
			return
		}
		if l.flying == nil && len(next.waiting) > 0 {
			switch {
			case l.quitting():
				l.end(next, errClosed)
				return
			case next.idle():
				l.finish(next, nil)
			case len(next.waiting) <= fewWaiting:
				if !l.answer(next, l.commit(next), next) {
					return
				}
			default:
				l.send(next)
				next, other = other, next
			}
			continue
		}
		for !l.landed() && l.queued() == 0 && next.batch.Hash(fewHashes) {
			// while there is nothing else to do
		}
		wake := l.wake
		if next.full() {
			wake = nil
		}
		select {
		case <-wake:
		case err := <-l.acks:
			l.flying = nil
			l.takes += (l.took - l.takes) / 8
			l.apart = l.takes < applying*time.Duration(len(other.waiting)+len(next.waiting)+l.queued())
			if err == nil && l.enough(next) && !next.idle() && !l.quitting() {
				l.send(next) // the store first: to tell everybody takes as long as to hash a batch
				l.finish(other, nil)
				next, other = other, next
			} else if !l.answer(other, err, next) {
				return
			}
		case <-l.quit:
			l.end(next, errClosed)
			return
		}
	}
}

// send has a group committed while the next one is made.
func (l *Ledger) send(g *group) {
	l.flying = g
	go func() {
		began := time.Now()
		err := l.commit(g)
		l.took = time.Since(began)
		l.acks <- err
	}()
	runtime.Gosched() // or it waits behind everybody who is told of the last one
}

// landed tells whether the store waits for us, and not we for it.
func (l *Ledger) landed() bool { return l.flying == nil || len(l.acks) > 0 }

// end lets the batch in flight finish, and turns away the rest.
func (l *Ledger) end(next *group, why error) {
	if l.flying != nil {
		l.finish(l.flying, <-l.acks)
	}
	l.fail(next, why)
}

var errClosed = &tongma.Error{Op: "clearing", Reason: tongma.ShuttingDown}

func (l *Ledger) quitting() bool {
	select {
	case <-l.quit:
		return true
	default:
		return false
	}
}

// fewWaiting is how many are served without another goroutine: what little may
// come meanwhile is applied as quickly afterwards, and each answer comes two
// changes of goroutines sooner.
const fewWaiting = 2

// answer ends a group whose commit ended in err, and reports whether the Ledger
// goes on, with those in next.
func (l *Ledger) answer(g *group, err error, next *group) bool {
	if l.finish(g, err); err != nil {
		l.fail(next, err)
		return false
	}
	l.linger(next)
	return true
}

// linger lets those who were just answered come back with their next entry, so
// that they share a batch with those who came meanwhile. Without it callers fall
// into two halves that take turns, and each sync serves only one of them.
func (l *Ledger) linger(g *group) {
	for range 3 {
		before := len(g.waiting)
		if l.enough(g) {
			return
		}
		runtime.Gosched()
		if l.gather(g); len(g.waiting) == before || l.fault != nil {
			return
		}
	}
}

// enough tells whether nobody more is waited for. One large group makes the most of
// each sync; but where to apply them all takes longer than that, two of them take turns,
// and each is applied while the other one is on its way to the disk.
func (l *Ledger) enough(g *group) bool { return l.apart && len(g.waiting) >= manyWaiting }

// manyWaiting is the least that is worth a batch while others are still to be applied;
// applying is what one of them takes, about.
const (
	manyWaiting = 256
	applying    = 2 * time.Microsecond
)

// commit makes a group durable. A store that does not answer, as with a full disk,
// is given up after CommitWithin: then the Ledger stops, and what became of the
// batch the next start tells.
func (l *Ledger) commit(g *group) error {
	ctx, cancel := context.WithTimeout(l.life, l.opts.CommitWithin)
	defer cancel()
	if g.batch.Len() == 0 {
		return l.confirm(ctx)
	}
	err := l.log.CommitGroup(ctx, &g.batch, g.time, g.directory)
	g.number, _ = l.log.Head() // now, since the next one may be on its way before this one is told
	return err
}

// confirm compares the end of the stream with the last batch of ours. Nothing is
// in flight, so that whatever is behind it is another's. While the store does not
// answer, as during an election, it asks again, until ctx ends; and for a while if it
// shows an end before ours, as a server does that was asleep.
func (l *Ledger) confirm(ctx context.Context) error {
	ours, began := l.log.Position().Sequence, time.Now()
	for {
		last, err := l.store.Last(ctx)
		switch {
		case err == nil && last == ours:
			return nil
		case err == nil && last > ours:
			return fmt.Errorf("%w: the stream goes on to sequence %d, we wrote up to %d", journal.ErrFenced, last, ours)
		case err == nil && time.Since(began) > staleFor:
			return fmt.Errorf("%w: the stream ends at sequence %d, we wrote up to %d", journal.ErrStopped, last, ours)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		case <-time.After(confirmPause):
		}
	}
}

const (
	confirmPause = 50 * time.Millisecond
	staleFor     = 3 * time.Second // a server of a cluster that stood still shows an old end until it has heard of the new leader
)

// gather applies what has arrived to the Book, until there is no more, or enough
// wait and the store is free for them. From here on the Book is ahead of the disk;
// if the group is lost, so is the Book, and the process starts again from the
// journal.
func (l *Ledger) gather(g *group) {
	for !g.full() && !(l.enough(g) && l.landed()) {
		taken := l.take(min(portion, g.batch.Room(longEntry)))
		if len(taken) == 0 {
			return
		}
		l.seen += l.book.ahead(taken)
		for _, s := range taken {
			if s.hands.CompareAndSwap(unread, inHand) { // nobody waits for the others any more
				l.apply(g, s)
			}
		}
	}
}

// fewCalls is for how many the writer is called while a batch is on its way to the disk:
// so many that a call is worth it, so few that they are applied in no time if the batch
// is stored before there are more.
const fewCalls = 16

// fewHashes is how many entries are hashed until it is looked whether something else came.
const fewHashes = 16

// listen says when the writer is to be called, once the queue is empty: by the first
// who comes, or while a batch is on its way by the last of a few.
func (l *Ledger) listen() {
	calls := 1
	if l.flying != nil {
		calls = min(fewCalls, l.opts.QueueLimit)
	}
	l.mu.Lock()
	l.calls = calls
	l.mu.Unlock()
}

func (l *Ledger) queued() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.queue)
}

// take returns the first of those who wait. They are valid until the next call.
func (l *Ledger) take(limit int) []*submission {
	l.mu.Lock()
	defer l.mu.Unlock()
	limit = min(limit, len(l.queue))
	l.taken = append(l.taken[:0], l.queue[:limit]...)
	l.queue = slices.Delete(l.queue, 0, limit)
	return l.taken
}

func (l *Ledger) apply(g *group, s *submission) {
	g.waiting = append(g.waiting, s)
	g.confirm = g.confirm || s.confirm || l.opts.Confirm
	if l.fault != nil {
		s.err = l.fault
		return
	}
	if s.read != nil {
		s.read(l.book)
		return
	}
	d := s.draft
	e := &d.Entry
	if e.Directory == 0 {
		e.Directory = l.book.directory
	}
	s.verdict = l.book.propose(e, s.key, l.opts.Now(), s.askable)
	if !s.verdict.Write {
		return
	}
	if err := l.book.apply(e, s.key); err != nil {
		s.err, l.fault = err, err // a fault of ours: the Book's two halves disagree
		l.refuse(err)
		return
	}
	if d.View && !e.Payment.IsZero() {
		s.verdict.Payment = l.book.viewAfter(e, &d.payment)
	}
	if l.opts.OnCommit != nil {
		g.entries = append(g.entries, *e)
	}
	g.batch.Add(e)
	g.next, g.time, g.directory = e.Number+1, e.Time, e.Directory
}

// finish tells everybody in the group. Durable from here: whoever is told finds
// it again after any crash (TestAcknowledgedSurvivesKill).
func (l *Ledger) finish(g *group, err error) {
	if err != nil {
		err = asReason(err)
		l.refuse(err)
	}
	for i, s := range g.waiting {
		if i%portion == 0 {
			l.seen += near(g.waiting[i:])
		}
		if s.err == nil {
			s.err = err
		}
		s.done <- struct{}{}
		l.opts.Pace()
	}
	if err == nil && g.batch.Len() > 0 {
		l.opts.snapshots.passed(g.next)
	}
	if err == nil && len(g.entries) > 0 && l.opts.OnCommit != nil {
		l.opts.OnCommit(g.number, g.entries)
	}
	g.reset()
}

// near looks at the first of those who are about to be told: the memory answers many at
// a time.
func near(waiting []*submission) (seen uint32) {
	for _, s := range waiting[:min(len(waiting), portion)] {
		seen += uint32(len(s.done))
	}
	return seen
}

// asReason names what a failed commit means to those who waited for it: fenced
// and stopped writers do not know what became of their last batch.
func asReason(err error) error {
	reason := tongma.JournalInDoubt
	if errors.Is(err, journal.ErrFenced) {
		reason = tongma.SteppedDown
	}
	return &tongma.Error{Op: "clearing.Commit", Reason: reason, Err: err}
}

func (l *Ledger) refuse(err error) {
	l.mu.Lock()
	if l.err == nil {
		reason := tongma.ReasonOf(err)
		if reason == tongma.JournalInDoubt {
			reason = tongma.JournalStopped
		}
		l.err = &tongma.Error{Op: "clearing.Submit", Reason: reason, Err: err}
	}
	l.mu.Unlock()
}

// fail turns away the group in the making, which was never sent, and all that
// wait behind it.
func (l *Ledger) fail(g *group, cause error) {
	l.refuse(asStopped(cause))
	for {
		for _, s := range g.waiting {
			s.err = l.Err()
			s.done <- struct{}{}
		}
		g.reset()
		if g.waiting = append(g.waiting, l.take(journal.MaxEntries)...); len(g.waiting) == 0 {
			return
		}
	}
}

func asStopped(cause error) error {
	var e *tongma.Error
	if errors.As(cause, &e) {
		return cause
	}
	return &tongma.Error{Op: "clearing", Reason: tongma.JournalStopped, Err: cause}
}

// Err returns why the Ledger takes nothing more, or nil.
func (l *Ledger) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// Stopped is closed when the writer has ended, by Close, by another writer that
// took over (SteppedDown), or by a fault: then the process must end, since its Book
// may be ahead of the journal. Everybody who waited has been answered.
func (l *Ledger) Stopped() <-chan struct{} { return l.stopped }

// Next returns the number that the next durable entry will have.
func (l *Ledger) Next() uint64 { return l.log.Next() }

// Epoch returns the number of the take-over by which this Ledger became the writer.
func (l *Ledger) Epoch() uint64 { return l.log.Epoch() }

// Head returns the number and the hash of the last durable batch.
func (l *Ledger) Head() (uint64, [32]byte) { return l.log.Head() }

// Close lets the batch in flight finish, turns away the rest, and waits for the
// writer to end. A batch whose fate cannot be learnt in CloseGrace is left to the
// next start, and its callers are told that it is not known.
func (l *Ledger) Close() error {
	l.refuse(&tongma.Error{Op: "clearing", Reason: tongma.ShuttingDown})
	l.once.Do(func() { close(l.quit) })
	grace := time.AfterFunc(l.opts.CloseGrace, l.giveUp)
	defer grace.Stop()
	<-l.stopped
	l.opts.snapshots.close()
	if at := l.log.Position(); l.fault == nil && l.book.next == max(at.Next, 1) { // else the Book is ahead of the journal
		l.opts.snapshots.write(l.book, at)
	}
	return l.log.Close()
}
