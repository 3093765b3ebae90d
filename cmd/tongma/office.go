package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
	"github.com/tongma/tongma/clearing/journal"
	"github.com/tongma/tongma/schemes"
	switching "github.com/tongma/tongma/switch"
	"github.com/tongma/tongma/switch/bus"
)

// Subjects of the journal's account beside the journal itself. Only switches get
// in there. They are those of namesOf.

const (
	joinWithin    = 10 * time.Second       // how long servers may take to be there
	journalWithin = time.Minute            // how long a cluster may take to show the journal
	commitWithin  = 15 * time.Second       // of a batch: longer than an election takes; whoever asks is answered when its own time is over
	brokenMost    = 5                      // times that a journal is found broken before it is taken for broken
	attemptWithin = 2 * time.Second        // and how long one question about it
	askWithin     = time.Second / 2        // a question to it, an append or a look: lost ones are put again
	papersWithin  = 500 * time.Millisecond // how long the writer may take to show its papers
	lookAgain     = time.Second
	forgetEach    = 10        // looks at the writer, events that it has published are forgotten
	snapshotEvery = 2_000_000 // entries
)

// office is what a switch has as a writer, or as one to come.
type office struct {
	lease    *clearing.Lease
	nc       *nats.Conn
	people   *nats.Conn // in the participants' account
	broken   int        // times in a row that the journal was found broken
	mark     switching.Mark
	replicas int
	timeout  time.Duration // of one question to the journal; zero: its default

	standby  atomic.Pointer[clearing.Standby] // while it stands by
	unfit    atomic.Pointer[error]            // why it could not take over
	stranger atomic.Bool                      // the writer that was heard last has another secret

	mu    sync.Mutex // guards what follows; nothing is called while it is held
	named directoryRef
	renew context.CancelFunc // called when another version is named; may be nil
}

// directoryRef is a version of the directory as the journal names it.
type directoryRef struct {
	version uint64
	hash    [32]byte
}

// errUnfit says that this switch must not lead as it is.
var errUnfit = errors.New("not fit to take over")

// shared tells whether another switch may write to the journal too.
func (n *node) shared() bool { return n.cfg.external != nil || n.cfg.admit }

// openJournal opens the stream of the journal, and on a NATS elsewhere looks at
// how that keeps it. A cluster that is choosing a leader is waited for.
func (n *node) openJournal(ctx context.Context) error {
	nc, err := n.carrier.Journal()
	if err != nil {
		return &exitError{code: exitUnreachable, err: err}
	}
	n.onClose(func(context.Context) { nc.Close() })
	o, names := &n.office, n.names()
	o.nc, o.replicas, o.named = nc, max(n.cfg.replicas, 1), directoryRef{}
	if n.cfg.replicas == 0 && nc.ConnectedClusterName() != "" {
		o.replicas = 3
	}
	o.mark = switching.NewFileMark(n.cfg.data)
	if n.shared() {
		o.timeout = askWithin
		if o.mark, err = switching.NewStreamMark(nc, names.markStream, names.mark, o.replicas); err != nil {
			return err
		}
		host, _ := os.Hostname()
		o.lease = clearing.NewLease(nc, clearing.LeaseOptions{Subject: names.office, Name: fmt.Sprintf("%s/%d", host, os.Getpid())})
	}
	ctx, cancel := context.WithTimeout(ctx, journalWithin)
	defer cancel()
	return n.patiently(ctx, "the journal cannot be opened yet", func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, attemptWithin) // a question may get lost while the cluster finds itself
		defer cancel()
		n.store, err = journal.OpenJetStream(ctx, nc, journal.JetStreamConfig{Stream: names.stream, Subject: names.subject, Replicas: o.replicas, PublishTimeout: o.timeout})
		if remote, ok := n.carrier.(*bus.Remote); err == nil && ok {
			_, err = remote.CheckDurable(ctx, names.stream)
		}
		return err
	})
}

// patiently does f until it succeeds, fails for good, or ctx ends. With a NATS of
// its own there is nothing to wait for.
func (n *node) patiently(ctx context.Context, what string, f func(context.Context) error) error {
	for round := 0; ; round++ {
		err := f(ctx)
		if err == nil || !n.shared() || !passing(err) {
			if errors.Is(err, bus.ErrNotDurable) {
				err = &exitError{code: exitConfig, err: err, next: []string{"sync_interval: always on every server of the cluster, or 3 replicas", "--nats-system FILE, to let the switch see how they store"}}
			}
			return err
		}
		if round%10 == 0 {
			n.cfg.logger.Warn(what, "err", err)
		}
		select {
		case <-ctx.Done():
			return &exitError{code: exitUnreachable, err: fmt.Errorf("%s: %w", what, err)}
		case <-time.After(lookAgain / 2):
		}
	}
}

// noPeersYet is what a cluster says that is to keep more copies than it has servers
// at the moment.
const noPeersYet jetstream.ErrorCode = 10005

// passing tells whether a fault is one of a cluster that is finding itself or
// choosing its leaders, or of a connection that will be there again. A stream that
// is not found was made by another server a moment ago.
func passing(err error) bool {
	var api *jetstream.APIError
	if errors.As(err, &api) {
		return api.Code >= 500 || api.ErrorCode == noPeersYet || api.ErrorCode == jetstream.JSErrCodeStreamNotFound
	}
	for _, e := range []error{nats.ErrTimeout, nats.ErrNoResponders, nats.ErrDisconnected, nats.ErrConnectionReconnecting, nats.ErrReconnectBufExceeded,
		nats.ErrNoServers, context.DeadlineExceeded, jetstream.ErrNoStreamResponse, journal.ErrInDoubt} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// enter makes this switch the writer. It is the engine's way into office: at once,
// or behind the one that is there.
func (n *node) enter(ctx context.Context, opts clearing.LedgerOptions, outbox *switching.EventOutbox) (*clearing.Ledger, error) {
	var marked uint64
	err := n.patiently(ctx, "the mark of the events cannot be read yet", func(ctx context.Context) (err error) {
		ctx, cancel := context.WithTimeout(ctx, attemptWithin)
		defer cancel()
		marked, err = n.office.mark.Load(ctx)
		return err
	})
	if err != nil {
		return nil, err
	}
	if opts.Confirm = n.shared(); opts.Confirm {
		opts.CommitWithin = commitWithin
	}
	opts.Snapshot = clearing.SnapshotOptions{Path: filepath.Join(n.cfg.data, "snapshot"), Every: snapshotEvery, See: marked + 1, Told: n.tellSnapshot}
	opts.OnReplay = func(es []clearing.Entry) {
		if len(es) > 0 && es[len(es)-1].Number > marked {
			outbox.Committed(es)
		}
		n.office.heed(es)
	}
	if !n.shared() {
		return clearing.OpenLedger(ctx, n.store, opts)
	}
	var s *clearing.Standby
	err = n.patiently(ctx, "the journal cannot be read yet", func(ctx context.Context) (err error) {
		s, err = clearing.OpenStandby(ctx, n.store, opts)
		return err
	})
	if err != nil {
		return nil, err
	}
	var ledger *clearing.Ledger
	if err = errors.Join(s.Read(n.office.recall), s.Require(n.ours)); err == nil {
		ledger, err = n.succeed(ctx, s, outbox)
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	if err := n.fit(); err != nil { // the last word of the one before named another directory
		return nil, errors.Join(err, ledger.Close())
	}
	return ledger, nil
}

// tellSnapshot logs what became of a snapshot of the books, which is a cache.
func (n *node) tellSnapshot(e clearing.SnapshotEvent) {
	what := "snapshot written"
	if e.Read {
		what = "books read from a snapshot"
	}
	if e.Err != nil {
		n.cfg.logger.Warn("snapshot passed over", "read", e.Read, "err", e.Err)
		return
	}
	n.cfg.logger.Info(what, "entries", e.At.Next-1, "took", e.Took.String())
}

// recall takes note of the directory that the books name, when a snapshot held its
// entry.
func (o *office) recall(b *clearing.Book) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.named.version < b.Directory() {
		o.named = directoryRef{b.Directory(), b.DirectoryHash()}
	}
}

// heed takes note of the directory that the journal names.
func (o *office) heed(es []clearing.Entry) {
	for i := range es {
		if es[i].Kind != clearing.KindDirectory {
			continue
		}
		o.mu.Lock()
		o.named = directoryRef{es[i].Directory, es[i].Hash}
		o.mu.Unlock()
		o.again()
	}
}

func (o *office) directory() directoryRef {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.named
}

// succeed has a standby become the writer: now, or if it is to wait, when the
// present one is lost. It does not take over with another directory than the
// journal's, which lies beside it.
func (n *node) succeed(ctx context.Context, s *clearing.Standby, outbox *switching.EventOutbox) (*clearing.Ledger, error) {
	o := &n.office
	n.lookAt(ctx)
	o.standby.Store(s)
	defer o.standby.Store(nil)
	if !n.cfg.standby {
		if err := errors.Join(n.equip(ctx), n.fit()); err != nil {
			return nil, err
		}
		return s.TakeOver(ctx)
	}
	tidying, stop := context.WithCancel(ctx)
	defer stop()
	go n.tidy(tidying, outbox)
	for {
		// From here on another version that is named ends the waiting.
		waiting, cancel := context.WithCancel(ctx)
		o.mu.Lock()
		o.renew = cancel
		o.mu.Unlock()
		var ledger *clearing.Ledger
		err := n.becomeFit(ctx, s)
		if err == nil {
			ledger, err = s.Succeed(waiting, o.lease)
		}
		cancel()
		if err == nil {
			return ledger, nil
		}
		if ctx.Err() != nil || s.Err() != nil {
			return nil, err
		}
	}
}

// lookAt asks the writer for its papers. It has this switch connect to another
// server than the writer: whatever happens to one server then happens to one of them.
// And it ends the waiting of a switch that has another secret than a writer whom it
// has not heard before.
func (n *node) lookAt(ctx context.Context) {
	p, err := n.askPapers(ctx)
	if err != nil {
		return
	}
	if p.Digest != n.fingerprint() && !n.office.stranger.Load() {
		n.office.again()
	}
	for _, nc := range []*nats.Conn{n.office.nc, n.office.people} {
		if p.Server != "" && nc.ConnectedServerName() == p.Server && len(nc.Servers()) > 1 {
			_ = nc.ForceReconnect() // if it is not connected, it is looking for one
		}
	}
}

// again ends a standby's waiting, so that it sees whether it is fit once more.
func (o *office) again() {
	o.mu.Lock()
	renew := o.renew
	o.mu.Unlock()
	if renew != nil {
		renew()
	}
}

// tidy drops the events that the writer has published meanwhile, and has an eye on
// the writer.
func (n *node) tidy(ctx context.Context, outbox *switching.EventOutbox) {
	for round := 0; ; round++ {
		n.lookAt(ctx)
		if round%forgetEach == 0 {
			if marked, err := n.office.mark.Load(ctx); err == nil {
				outbox.Forget(marked)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(lookAgain):
		}
	}
}

// becomeFit waits until this switch has all that the writer's successor must have.
func (n *node) becomeFit(ctx context.Context, s *clearing.Standby) error {
	for said := ""; ; {
		err := errors.Join(n.equip(ctx), n.fit())
		if err == nil {
			n.office.unfit.Store(nil)
			return nil
		}
		n.office.unfit.Store(&err)
		if err.Error() != said {
			said = err.Error()
			n.cfg.logger.Error("standby", "err", err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.Stopped():
			return s.Err()
		case <-time.After(lookAgain):
		}
	}
}

// fit tells why this switch must not lead: payments were routed by the directory
// that the journal names, and by no other of that number. A journal that names
// none takes the one of our settings.
func (n *node) fit() error {
	named := n.office.directory()
	if named.version == 0 {
		if n.registry.Current() == nil && n.cfg.directory != nil {
			if _, err := n.registry.Add(n.cfg.directory); err != nil {
				return err
			}
		}
		if n.registry.Current() == nil {
			return fmt.Errorf("%w: there is no directory yet, neither in the journal nor by --directory", errUnfit)
		}
		return nil
	}
	d, ok := n.registry.At(named.version)
	if !ok {
		return fmt.Errorf("%w: the journal goes by directory version %d, which is not here", errUnfit, named.version)
	}
	if d.Hash() != named.hash {
		return fmt.Errorf("%w: directory version %d of this folder is not the one that the journal goes by (%s…)", errUnfit, named.version, hex.EncodeToString(named.hash[:4]))
	}
	return nil
}

// papers is what a writer shows, to whoever asks.
type papers struct {
	Digest string `json:"digest"`           // what its secret makes of a known text
	Server string `json:"server,omitempty"` // of the cluster, that it is connected to
}

// fingerprint tells two digest secrets apart and nothing of either.
func (n *node) fingerprint() string {
	digest := n.keys.Digest("tongma: fingerprint of the digest secret")
	return hex.EncodeToString(digest[:])
}

// showPapers answers a switch that stands by.
func (n *node) showPapers(m *nats.Msg) {
	if data, err := json.Marshal(papers{Digest: n.fingerprint(), Server: n.office.nc.ConnectedServerName()}); err == nil {
		_ = m.Respond(data) // whoever did not get it asks again
	}
}

func (n *node) askPapers(ctx context.Context) (papers, error) {
	var p papers
	ctx, cancel := context.WithTimeout(ctx, papersWithin)
	defer cancel()
	m, err := n.office.nc.RequestWithContext(ctx, n.names().papers, nil)
	if err != nil {
		return p, err
	}
	return p, json.Unmarshal(m.Data, &p)
}

// equip compares this switch with the writer, and gets the versions of the directory
// that it lacks. A writer that does not answer shows nothing, which is no fault; that
// it had another secret is not forgotten with it.
func (n *node) equip(ctx context.Context) error {
	if p, err := n.askPapers(ctx); err == nil {
		n.office.stranger.Store(p.Digest != n.fingerprint())
	}
	if n.office.stranger.Load() {
		return fmt.Errorf("%w: the secret of payers' codes (creds/code-digest.key) is not the writer's: tongma cluster credentials", errUnfit)
	}
	named := n.office.directory()
	if named.version <= uint64(len(n.registry.Versions())) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, attemptWithin)
	defer cancel()
	s, err := openShelf(ctx, n.office.nc, n.office.replicas)
	if err == nil {
		err = s.fill(ctx, n.registry, named)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errUnfit, err)
	}
	return nil
}

// keepDirectory lays a version beside the journal, where every switch finds it, before
// it comes into force. One that the journal names was laid there by who brought it in:
// a take-over does not wait for that to be seen, since the stream of directories may be
// choosing a leader while the journal has one.
func (n *node) keepDirectory(ctx context.Context, d *schemes.Directory) error {
	if !n.shared() {
		return nil
	}
	if n.office.directory() != (directoryRef{d.Version(), d.Hash()}) {
		return n.layDirectory(ctx, d)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := n.layDirectory(ctx, d); err != nil && ctx.Err() == nil {
			n.cfg.logger.Error("the directory in force is not seen beside the journal", "version", d.Version(), "err", err)
		}
	}()
	n.onClose(func(context.Context) { cancel(); <-done })
	return nil
}

func (n *node) layDirectory(ctx context.Context, d *schemes.Directory) error {
	nc, replicas := n.office.nc, n.office.replicas
	ctx, cancel := context.WithTimeout(ctx, journalWithin)
	defer cancel()
	return n.patiently(ctx, "the directory cannot be kept beside the journal yet", func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, attemptWithin)
		defer cancel()
		s, err := openShelf(ctx, nc, replicas)
		if err != nil {
			return err
		}
		return s.keep(ctx, n.registry, d)
	})
}

// holdOffice shows that the writer is there, until the engine has been closed.
func (n *node) holdOffice() {
	if !n.shared() {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	sub, err := n.office.nc.Subscribe(n.names().papers, n.showPapers)
	if err != nil {
		n.cfg.logger.Error("papers are not shown to standbys", "err", err)
	}
	held := make(chan struct{})
	ledger := n.engine.Ledger()
	go func() {
		defer close(held)
		if err := n.office.lease.Hold(ctx, ledger); err != nil && tongma.ReasonOf(err) != tongma.ShuttingDown {
			n.cfg.logger.Error("out of office", "epoch", ledger.Epoch(), "err", err)
		}
	}()
	n.onClose(func(context.Context) {
		if sub != nil {
			_ = sub.Unsubscribe()
		}
		cancel()
		<-held
	})
}

// standAgain tells whether a switch that is not, or no longer, the writer for this
// reason may stand by again.
func (n *node) standAgain(err error) bool {
	if !n.shared() {
		return false
	}
	// A server of the cluster that stood still takes itself for the leader when it
	// goes on, and shows the journal as it was: what is gone comes back in a moment.
	var broken *journal.ChainError
	if errors.Is(err, switching.ErrNotOurs) {
		return false
	}
	if errors.As(err, &broken) {
		n.office.broken++
		return n.office.broken < brokenMost
	}
	n.office.broken = 0
	switch tongma.ReasonOf(err) {
	case tongma.SteppedDown, tongma.JournalInDoubt, tongma.JournalStopped:
		return true
	}
	return passing(err) || errors.Is(err, errUnfit) || errors.Is(err, clearing.ErrTaken) || errors.Is(err, journal.ErrFenced) || exitCodeOf(err) == exitUnreachable
}

// takeUpError says why the journal cannot be taken up.
func takeUpError(err error, data string) error {
	var own *exitError
	switch {
	case errors.As(err, &own):
		return err
	case errors.Is(err, switching.ErrNotOurs):
		return &exitError{code: exitConfig, err: err, money: "not_executed", next: []string{"start it with the --shard K/N that it names; tongma status --url of the writer that is there says the same"}}
	case errors.Is(err, journal.ErrNoRoom), errors.Is(err, syscall.ENOSPC):
		return &exitError{code: exitFault, err: fmt.Errorf("the disk is full, or what the server may use of it: %w", err), money: "not_executed",
			next: []string{"make room where " + data + " lies, then start again: what is open is finished from the journal"}}
	case errors.Is(err, errUnfit):
		return &exitError{code: exitConflict, err: err, next: []string{"stop it, bring creds/ and directory/ of the writer's folder here, and start again"}}
	case passing(err) || errors.Is(err, context.Canceled):
		return &exitError{code: exitUnreachable, err: fmt.Errorf("the journal cannot be reached: %w", err)}
	}
	return &exitError{code: exitBooks, err: fmt.Errorf("the journal cannot be taken up: %w", err), next: []string{"tongma audit --data " + data}}
}
