package shard

import (
	"cmp"
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
	"github.com/tongma/tongma/schemes"
	switching "github.com/tongma/tongma/switch"
)

// Ledger is the books of a shard, as clearing.Ledger keeps them.
type Ledger interface {
	Submit(ctx context.Context, e clearing.Entry) (clearing.Result, error)
	Read(ctx context.Context, see func(*clearing.Book)) error
	Epoch() uint64
}

// Engine carries out requests.
type Engine interface {
	Do(ctx context.Context, r tongma.Request) (tongma.Answer, error)
	Resolve(ctx context.Context, r tongma.Request) (tongma.Resolution, error)
	Directory() *schemes.Directory
	Adopt(ctx context.Context, d *schemes.Directory) error
}

// Options are the edges of a Node. Self, Count and Conn are required.
type Options struct {
	Self, Count uint16        // which shard this is, from 1, of how many
	Conn        *nats.Conn    // in an account that only switches enter
	Every       time.Duration // how often it is looked for what is to be done; default 1 s
	RoomWithin  time.Duration // how long a hold that lacks room waits for it; default 500 ms
	Logger      *slog.Logger  // nil: discard

	// Bring brings a directory into force in this shard and keeps it, as a person who gives
	// it to the switch would; what is in force already is no error. Nil: none can be.
	Bring func(ctx context.Context, source []byte) error
}

// Node is one shard among the others. It is the engine's switching.Shards; its methods
// may be called at once from many goroutines.
type Node struct {
	opts   Options
	ledger Ledger
	engine Engine

	started atomic.Bool          // ledger and engine are there
	desk    atomic.Pointer[Desk] // nil until there is one

	learning sync.Mutex                                      // held while homes are read and kept: none is put in the place of a later one
	homes    atomic.Pointer[map[tongma.ParticipantID]uint16] // who is not at home where its id says
	fresh    atomic.Bool                                     // the head is known to have no payments of before there were others
	wake     chan struct{}
	busy     chan struct{} // bounds the requests that are carried out for others
	ctx      context.Context
	stop     context.CancelFunc
	jobs     sync.WaitGroup
	subs     []*nats.Subscription

	over    atomic.Uint32                         // shards that ids and keys are spread over, as the books say; zero: not read yet
	epochs  [clearing.MaxShards + 1]atomic.Uint64 // the latest in which each of the others is known to be written
	counts  [clearing.MaxShards + 1]atomic.Uint32 // of how many shards each of them knows
	pushing [clearing.MaxShards + 1]sync.Mutex    // of the way to one shard: carries are sent in order

	// ordering is held from looking for the holder of a key of the office until what is
	// asked for under it is written, or the key is given away. Only the books are asked
	// while it is held.
	ordering sync.Mutex

	// mu guards what follows. Nothing else is taken while it is held.
	mu        sync.Mutex
	confirmed map[uint16]uint64                  // up to which number another shard has taken carries
	came      map[tongma.ParticipantID]time.Time // when room of it came in: it is left there for a while
	lacked    map[tongma.ParticipantID]time.Time // when it was looked for room of it
	done      map[tongma.ParticipantID]uint64    // moves that are finished
	stopping  bool
	offered   []byte                          // a directory that the head is to bring into force
	bringing  bringing                        // of the head's
	versions  [clearing.MaxShards + 1]version // that the others go by
	changed   time.Time                       // when a directory came into force here
}

const (
	mostBusy   = 10_000
	mostHops   = 32
	keepRoom   = 2 * time.Second        // room that came in for a hold is not swept away
	lookForMin = 250 * time.Millisecond // between two looks for the room of one participant
)

// New returns a Node. Give it to switching.Options.Shards, its OnCommit the batches of
// the engine, and Start it with the engine.
func New(opts Options) *Node {
	opts.Every, opts.RoomWithin = cmp.Or(opts.Every, time.Second), cmp.Or(opts.RoomWithin, 500*time.Millisecond)
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	n := &Node{opts: opts, wake: make(chan struct{}, 1), busy: make(chan struct{}, mostBusy), confirmed: map[uint16]uint64{}, came: map[tongma.ParticipantID]time.Time{},
		lacked: map[tongma.ParticipantID]time.Time{}, done: map[tongma.ParticipantID]uint64{}}
	n.homes.Store(&map[tongma.ParticipantID]uint16{})
	n.ctx, n.stop = context.WithCancel(context.Background())
	return n
}

// Number returns which shard this is, of how many.
func (n *Node) Number() (self, count uint16) { return n.opts.Self, n.opts.Count }

// NewID returns ids of payments that say which shard made them, so that a payment is
// looked for there first.
func (n *Node) NewID() tongma.PaymentID {
	id := tongma.PaymentID(uuid.Must(uuid.NewV7()))
	id[15] = byte(n.opts.Self)
	return id
}

// Start answers the other shards, and begins to do what is to be done.
func (n *Node) Start(ctx context.Context, ledger Ledger, engine Engine) error {
	n.ledger, n.engine = ledger, engine
	n.started.Store(true)
	if err := n.learnHomes(ctx); err != nil {
		return err
	}
	for subj, handle := range map[string]nats.MsgHandler{
		subject(n.opts.Self, ledger.Epoch(), "*"): n.heard,
		subjectEpoch(n.opts.Self):                 func(m *nats.Msg) { n.sayEpoch(m.Reply) },
		subjectEpochs:                             n.hearEpoch,
		subjectAll:                                func(*nats.Msg) { n.nudge() },
	} {
		sub, err := n.opts.Conn.Subscribe(subj, handle)
		if err != nil {
			return err
		}
		n.subs = append(n.subs, sub)
	}
	if err := n.opts.Conn.FlushTimeout(askWithin); err != nil {
		return err
	}
	n.sayEpoch(subjectEpochs)
	n.jobs.Go(n.run)
	return nil
}

// Stop answers nobody any more, and waits for what it has begun. The books must still
// be open.
func (n *Node) Stop() {
	for _, sub := range n.subs {
		_ = sub.Unsubscribe()
	}
	_ = n.opts.Conn.FlushTimeout(askWithin) // from here on others hear that nobody is there
	n.mu.Lock()
	n.stopping = true
	n.mu.Unlock()
	n.stop()
	n.jobs.Wait()
}

// spawn runs f in the background unless the Node is stopping.
func (n *Node) spawn(f func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.stopping {
		n.jobs.Go(f)
	}
}

// OnCommit takes note of what concerns other shards. It must see every batch.
func (n *Node) OnCommit(entries []clearing.Entry) {
	if !n.started.Load() { // what came before is read from the books
		return
	}
	tell := false
	for i := range entries {
		switch e := &entries[i]; e.Kind {
		case clearing.KindHome, clearing.KindSponsor:
			n.spawn(func() {
				if err := n.learnHomes(n.ctx); err == nil {
					n.nudge()
				}
			})
		case clearing.KindDirectory:
			n.mu.Lock()
			n.changed = time.Now()
			n.mu.Unlock()
			n.sayEpoch(subjectEpochs)
			tell = tell || n.opts.Self == clearing.Head
		case clearing.KindClose, clearing.KindSettled, clearing.KindSuspend, clearing.KindResume, clearing.KindShort:
			tell = n.opts.Self == clearing.Head
		}
	}
	if tell {
		_ = n.opts.Conn.Publish(subjectAll, nil) // who misses it looks by itself soon
		n.nudge()
	}
}

func (n *Node) nudge() {
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// learnHomes reads from the books who is at home elsewhere than its id says.
func (n *Node) learnHomes(ctx context.Context) error {
	n.learning.Lock()
	defer n.learning.Unlock()
	homes := map[tongma.ParticipantID]uint16{}
	err := n.ledger.Read(ctx, func(b *clearing.Book) {
		n.over.Store(uint32(b.Spread()))
		for _, m := range b.Moves() {
			homes[m.Participant] = m.Shard
		}
		for _, p := range b.Positions() {
			if at, _ := b.Home(p.Participant); p.Sponsor != "" {
				homes[p.Participant] = at
			}
		}
	})
	if err == nil {
		n.homes.Store(&homes)
	}
	return err
}

// spread is over how many shards ids and keys are spread.
func (n *Node) spread() uint16 {
	if over := n.over.Load(); over != 0 {
		return uint16(over)
	}
	return n.opts.Count
}

// Spread asks the first shard over how many ids and keys are spread, and waits for it.
func (n *Node) Spread(ctx context.Context) (uint16, error) {
	if n.opts.Self == clearing.Head {
		return 0, nil
	}
	for round := 0; ; round++ {
		asking, cancel := context.WithTimeout(ctx, epochWithin)
		m, err := n.opts.Conn.RequestWithContext(asking, subjectEpoch(clearing.Head), nil)
		cancel()
		var said epochMsg
		if err == nil && json.Unmarshal(m.Data, &said) == nil && said.Shard == clearing.Head && said.Spread != 0 {
			return said.Spread, nil
		}
		if round%20 == 10 {
			n.opts.Logger.Warn("shard: this journal is new, and begins when shard 1 is there and has said over how many shards keys are spread")
		}
		select {
		case <-ctx.Done():
			return 0, &tongma.Error{Op: "switch.shard", Reason: tongma.Overloaded, Detail: "shard 1 is not there, which says over how many shards keys are spread: start it first; nothing was written", Err: ctx.Err()}
		case <-time.After(epochWithin):
		}
	}
}

// homeOf is where somebody is at home, as far as this shard knows.
func (n *Node) homeOf(who tongma.ParticipantID) uint16 {
	if at := (*n.homes.Load())[who]; at != 0 {
		return at
	}
	return clearing.HomeOf(who, n.spread())
}

// heard answers another shard. A switch that is not the writer any more does not: the
// one that is answers.
func (n *Node) heard(m *nats.Msg) {
	verb := m.Subject[strings.LastIndexByte(m.Subject, '.')+1:]
	select {
	case n.busy <- struct{}{}:
	default:
		n.answer(m, nil, &tongma.Error{Op: "switch.shard", Reason: tongma.Overloaded})
		return
	}
	n.spawn(func() {
		defer func() { <-n.busy }()
		body, err := n.serve(verb, m.Data)
		n.answer(m, body, err)
	})
}

func (n *Node) answer(m *nats.Msg, body any, err error) {
	var r reply
	if err != nil {
		switch tongma.ReasonOf(err) {
		case tongma.SteppedDown, tongma.JournalStopped, tongma.ShuttingDown:
			return
		}
		r.Fault = faultOf(err)
	} else if r.Body, err = json.Marshal(body); err != nil {
		r.Fault = faultOf(err)
	}
	if data, err := json.Marshal(r); err == nil {
		_ = m.Respond(data)
	}
}

// serve does what another shard asks.
func (n *Node) serve(verb string, data []byte) (any, error) {
	ctx, cancel := context.WithTimeout(n.ctx, 30*time.Second)
	defer cancel()
	switch verb {
	case verbDo:
		return read(data, func(m requestMsg) (any, error) { return n.doFor(ctx, m) })
	case verbResolve:
		return read(data, func(m requestMsg) (any, error) { return n.resolveFor(ctx, m) })
	case verbClaim:
		return read(data, func(m keyMsg) (any, error) { return n.giveKey(ctx, m) })
	case verbHolder:
		return read(data, func(m keyMsg) (any, error) { return n.holder(ctx, m) })
	case verbKnows:
		return read(data, func(m idMsg) (any, error) { return n.knows(ctx, m.Payment) })
	case verbSpent:
		return read(data, func(m spentMsg) (any, error) { return n.wasSpent(ctx, m) })
	case verbCarry:
		return read(data, func(m carryMsg) (any, error) { return n.takeIn(ctx, m) })
	case verbRoom:
		return read(data, func(m roomMsg) (any, error) { return n.sendRoom(ctx, m) })
	case verbSweep:
		return read(data, func(m roomMsg) (any, error) { return yesMsg{true}, n.sweep(ctx, m.Who) })
	case verbFollow:
		return read(data, func(m followMsg) (any, error) { return n.followed(ctx, m) })
	case verbGather:
		return read(data, func(m pageMsg) (any, error) { return n.gather(ctx, m) })
	case verbHome:
		return read(data, func(m homeMsg) (any, error) { return n.comesHome(ctx, m) })
	case verbMove:
		return read(data, func(m moveMsg) (any, error) { return n.letGo(ctx, m) })
	case verbRaise:
		return read(data, func(m raiseMsg) (any, error) { return n.raise(ctx, m) })
	case verbStep:
		return read(data, func(m stepMsg) (any, error) { return n.step(ctx, m) })
	case verbDispute:
		return read(data, func(m showMsg) (any, error) { return n.showDispute(ctx, m) })
	case verbDisputes:
		return read(data, func(m listMsg) (any, error) { return n.listDisputes(ctx, m) })
	case verbOffer:
		return read(data, func(m offerMsg) (any, error) { return n.takeOffer(ctx, m) })
	case verbSource:
		return read(data, func(m sourceMsg) (any, error) { return n.showSource(m) })
	case verbOrder:
		return read(data, func(m orderMsg) (any, error) { return n.order(ctx, m) })
	case verbCaps:
		return read(data, func(m capsMsg) (any, error) { return n.capsHere(ctx, m) })
	case verbSuspend, verbResume:
		return read(data, func(m standMsg) (any, error) { return n.stand(ctx, verb, m) })
	case verbPositions:
		return n.ownPositions(ctx)
	}
	return nil, &tongma.Error{Op: "switch.shard", Reason: tongma.OperationUnknown}
}

func read[M any](data []byte, f func(M) (any, error)) (any, error) {
	var m M
	if err := json.Unmarshal(data, &m); err != nil {
		return nil, &tongma.Error{Op: "switch.shard", Reason: tongma.MessageMalformed, Err: err}
	}
	return f(m)
}

// run does what is to be done, again and again.
func (n *Node) run() {
	tick := time.NewTicker(n.opts.Every)
	defer tick.Stop()
	for sweep := true; ; {
		n.round(n.ctx, sweep)
		select {
		case <-n.ctx.Done():
			return
		case <-n.wake:
			sweep = false
		case <-tick.C:
			sweep = true
		}
	}
}

// round does once all that there is to be done. What fails is tried again by the next.
// Room is sent home by the clock only: under load there is always some.
func (n *Node) round(ctx context.Context, sweep bool) {
	home := func(ctx context.Context) error {
		if !sweep {
			return nil
		}
		n.sayEpoch(subjectEpochs)
		n.tellDiffering()
		return n.sweep(ctx, "")
	}
	for _, part := range []struct {
		what string
		do   func(context.Context) error
	}{{"follow the head", n.follow}, {"send home what lies here", home}, {"send what has left", n.pushAll}, {"finish moves", n.finishMoves}} {
		if err := part.do(ctx); err != nil && ctx.Err() == nil {
			n.opts.Logger.Warn("shard: not done yet", "what", part.what, "err", err)
		}
	}
}

// others calls f for every other shard at once, and waits.
func (n *Node) others(f func(shard uint16)) {
	var all sync.WaitGroup
	for s := uint16(1); s <= n.opts.Count; s++ {
		if s != n.opts.Self {
			all.Go(func() { f(s) })
		}
	}
	all.Wait()
}

var _ switching.Shards = (*Node)(nil)
