package clearing

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/tongma/tongma/clearing/journal"
)

// ErrTaken: while a standby was taking over, another one did. It follows again,
// behind the new writer.
var ErrTaken = errors.New("clearing: another standby has taken over")

// ErrOver is a Standby that has been closed or has become a Ledger.
var ErrOver = errors.New("clearing: not a standby any more")

// lookEvery is how often a standby compares itself with the end of the stream.
// A follower that stood still between two looks, with more to read, is started
// anew: what it listened to may have died with a server, without a word.
const lookEvery = time.Second

// Standby keeps a Book warm behind another process that writes: it follows the
// journal, checks the chain as a start does, and can become the writer at any
// moment, without reading anything twice. Read, Lag, Epoch, Err and Stopped may be
// called by any goroutine; TakeOver, Succeed and Close by one at a time.
//
// Nothing here has to be right about whether the other writer is alive. The epoch
// record is appended behind the last batch that was read or not at all, and from
// then on every batch of the other is refused by the store: an entry that it
// acknowledged is in front of the record, and so in the Book.
type Standby struct {
	store journal.Store
	opts  LedgerOptions
	log   *journal.Log

	mu   sync.Mutex        // guards what follows; nothing is called while it is held but the Book and see of Read
	book *Book             // nil when it is no more the standby's
	time int64             // of the last batch
	fit  func(*Book) error // nil: any Book will do

	following bool // behind the end of the first reading; only used by who calls the log

	life  context.Context         // ends when the standby follows no more
	end   context.CancelCauseFunc // with why
	rival func()                  // told of every epoch record that is read; only used by who calls the log
	halt  func()                  // ends the follower and waits for it; replaced by follow
}

// OpenStandby reads the journal into a Book and follows it until Close or
// TakeOver. It writes nothing. opts are those of the Ledger to be; OnReplay is
// called for each batch that is read, now and while following, one at a time.
func OpenStandby(ctx context.Context, store journal.Store, opts LedgerOptions) (*Standby, error) {
	s, err := readIn(ctx, store, opts)
	if err != nil {
		return nil, err
	}
	s.follow()
	return s, nil
}

// readIn makes a Book of the journal as it is now. It is the one way in: for a
// start, a standby, and a take-over.
func readIn(ctx context.Context, store journal.Store, opts LedgerOptions) (*Standby, error) {
	opts.defaults()
	s := &Standby{store: store, opts: opts, book: NewBook(), rival: func() {}, halt: func() {}}
	s.life, s.end = context.WithCancelCause(context.Background())
	s.opts.snapshots = newSnapshots(opts.Snapshot, store, opts.Shard)
	choices := opts.Journal
	if book, at := s.opts.snapshots.load(ctx, opts.OnReplay); book != nil {
		s.book, s.time = book, book.clock
		choices = append(slices.Clone(choices), journal.From(at))
	}
	var err error
	if s.log, err = journal.Open(ctx, store, opts.Shard, s.replay, choices...); err != nil {
		return nil, err
	}
	return s, nil
}

// replay applies a batch, on the goroutine that reads.
func (s *Standby) replay(b journal.Batch) error {
	var seen []Entry
	var see func([]Entry)
	if s.opts.OnReplay != nil {
		see = func(es []Entry) { seen = es }
	}
	s.mu.Lock()
	err := s.book.Replay(b, see)
	s.time = b.Time
	next := s.book.next
	if err == nil && s.fit != nil {
		err = s.fit(s.book)
	}
	s.mu.Unlock()
	if err != nil {
		return err
	}
	if see != nil {
		s.opts.OnReplay(seen)
	}
	if len(b.Entries) == 0 {
		s.rival()
	}
	if s.following {
		s.opts.snapshots.passed(next)
	}
	return nil
}

// Require has the standby go on only as long as fit finds nothing against the Book. It is
// asked now, and behind every batch that is read from here on, also on the way to a
// take-over: whoever must not write this journal finds out by reading, and the writer that
// there is goes on undisturbed. What it finds now is returned, and the standby follows on;
// what it finds later ends the standby, as its Err or as that of the take-over. fit must be
// quick and keep nothing of the Book.
func (s *Standby) Require(fit func(*Book) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.book == nil {
		return ErrOver
	}
	s.fit = fit
	return fit(s.book)
}

// follow starts the follower.
func (s *Standby) follow() {
	s.following = true
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	s.halt = func() { cancel(); <-done }
	go func() { defer close(done); s.run(ctx) }()
}

// run follows until ctx ends or the journal is found broken.
func (s *Standby) run(ctx context.Context) {
	for ctx.Err() == nil {
		round, again := context.WithCancel(ctx)
		looked := make(chan struct{})
		go func() { defer close(looked); s.lookAfter(round, again) }()
		err := s.log.Follow(round)
		broken := round.Err() == nil // neither told to end nor found standing still
		again()
		<-looked
		if broken {
			s.end(err)
			return
		}
	}
}

// lookAfter ends a round of following that stands still though there is more.
func (s *Standby) lookAfter(ctx context.Context, again func()) {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	before := s.log.Position().Sequence
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		last, err := s.store.Last(ctx)
		at := s.log.Position().Sequence
		if err == nil && at < last && at == before {
			again()
			return
		}
		before = at
	}
}

// TakeOver makes the standby the writer: it appends an epoch record, with
// everything up to it read, and returns the running Ledger on the same Book. The
// Standby is then over; close the Ledger.
//
// If the writer that it replaces is alive and quick it reads on and tries again,
// until ctx ends. If another standby takes over meanwhile, or the journal cannot
// be reached, it follows again and the error says why; unless it is not known
// whether the epoch record was stored: then Stopped is closed, and a new Standby
// has to read it.
func (s *Standby) TakeOver(ctx context.Context) (*Ledger, error) {
	return s.succeed(ctx, s.Epoch())
}

// succeed takes over from the writer of an epoch, and from nobody else.
func (s *Standby) succeed(ctx context.Context, epoch uint64) (*Ledger, error) {
	if err := s.Err(); err != nil {
		return nil, err
	}
	s.halt()
	taking, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	s.rival = func() { cancel(ErrTaken) }
	if s.Epoch() != epoch {
		s.rival()
	}
	l, err := s.enter(ctx, taking)
	s.rival = func() {}
	if err == nil {
		return l, nil
	}
	if s.Err() == nil {
		if errors.Is(context.Cause(taking), ErrTaken) {
			err = ErrTaken
		}
		s.follow()
	}
	return nil, fmt.Errorf("clearing: take-over: %w", err)
}

// enter is the take-over itself, for a start and for a standby. taking may end
// before ctx does, and only the epoch record heeds it. The follower must have ended.
func (s *Standby) enter(ctx, taking context.Context) (*Ledger, error) {
	if err := s.log.TakeOver(taking, max(s.opts.Now(), s.book.clock)); err != nil {
		return nil, err
	}
	// Our own epoch record was read last, so that nobody before us can write. If we
	// stop here the record stands for nobody, and the next one to start replaces it
	// (TestAnEpochOfNobodyIsReplaced).
	s.mu.Lock()
	l := start(s.store, s.log, s.book, s.opts)
	s.book = nil
	s.mu.Unlock()
	s.end(ErrOver)
	if _, err := l.Submit(ctx, Entry{Kind: KindOpen}); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// Succeed waits until the lease is lost and takes over then. If another standby
// is quicker, or the journal is away, as during an election, it waits on. It ends
// with ctx, or when the standby cannot go on.
func (s *Standby) Succeed(ctx context.Context, lease *Lease) (*Ledger, error) {
	watching, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.life, cancel)()
	// It is the writer of this epoch who fell silent: one that came since, and has
	// said nothing yet, is not meant.
	silent := s.Epoch()
	least := func() uint64 { silent = s.Epoch(); return silent }
	for {
		err := lease.watch(watching, least, lease.opts.Patience)
		if err == nil {
			var l *Ledger
			if l, err = s.succeedSilent(ctx, silent, lease); err == nil {
				return l, nil
			}
		}
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case s.Err() != nil:
			return nil, fmt.Errorf("clearing: standby: %w", errors.Join(s.Err(), err))
		case errors.Is(err, ErrTaken):
			least()
		}
	}
}

// succeedSilent takes over from a writer that has fallen silent, and tries for as
// long as it is silent and the journal is away: the first to ask when an election is
// over is back in service first. A writer that is heard again is left alone, and one
// that was silent only because our connection was to the wrong server is listened to
// anew.
func (s *Standby) succeedSilent(ctx context.Context, epoch uint64, lease *Lease) (*Ledger, error) {
	listening, err := lease.listen(epoch)
	if err != nil {
		return nil, err
	}
	defer listening.stop()
	for {
		l, err := s.succeed(ctx, epoch)
		if err == nil || ctx.Err() != nil || s.Err() != nil || errors.Is(err, ErrTaken) {
			return l, err
		}
		time.Sleep(lease.opts.Every / 4)
		if !listening.silent() {
			return nil, err
		}
	}
}

// Read runs see on the Book as it stands, which may be behind the writer's. see
// must be quick and keep nothing of the Book.
func (s *Standby) Read(see func(*Book)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.book == nil {
		return ErrOver
	}
	see(s.book)
	return nil
}

// Lag is how far a standby is behind the end of the journal.
type Lag struct {
	Batches  uint64 // messages of the stream not yet read
	Entries  uint64 // entries in them
	LastTime int64  // Unix milliseconds, by the writer's clock, of the last batch that was read; 0 for none
}

// Lag asks the store where the journal ends. Where nothing is behind it costs one
// question, otherwise the last message is read for the number of its entries.
func (s *Standby) Lag(ctx context.Context) (Lag, error) {
	last, err := s.store.Last(ctx)
	if err != nil {
		return Lag{}, err
	}
	s.mu.Lock()
	lag := Lag{LastTime: s.time}
	s.mu.Unlock()
	at := s.log.Position()
	if last <= at.Sequence {
		return lag, nil
	}
	lag.Batches = last - at.Sequence
	err = s.store.Read(ctx, last, func(_ uint64, message []byte) error {
		b, err := journal.ParseBatch(message)
		if next := max(at.Next, 1); err == nil && b.Next() > next {
			lag.Entries = b.Next() - next
		}
		return errors.Join(errSeen, err)
	})
	if errors.Is(err, errSeen) {
		err = nil
	}
	return lag, err
}

// errSeen ends a reading early.
var errSeen = errors.New("clearing: seen")

// Epoch returns the epoch of the writer that is followed; 0 if there was none.
func (s *Standby) Epoch() uint64 { return s.log.Epoch() }

// Err returns why the standby follows no more, such as a *journal.ChainError or
// ErrOver; nil while it follows.
func (s *Standby) Err() error { return context.Cause(s.life) }

// Stopped is closed when the standby follows no more.
func (s *Standby) Stopped() <-chan struct{} { return s.life.Done() }

// Close ends following. A Ledger that the standby became goes on.
func (s *Standby) Close() error {
	s.halt()
	s.end(ErrOver)
	s.mu.Lock()
	book := s.book
	s.book = nil
	s.mu.Unlock()
	if book == nil {
		return nil
	}
	s.opts.snapshots.close()
	if at := s.log.Position(); book.next == max(at.Next, 1) {
		s.opts.snapshots.write(book, at)
	}
	return s.log.Close()
}
