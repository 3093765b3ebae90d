package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/adapters/iso8583"
	"github.com/tongma/tongma/adapters/native"
	"github.com/tongma/tongma/clearing"
	"github.com/tongma/tongma/clearing/journal"
	"github.com/tongma/tongma/schemes"
	"github.com/tongma/tongma/schemes/keyring"
	switching "github.com/tongma/tongma/switch"
	"github.com/tongma/tongma/switch/api"
	"github.com/tongma/tongma/switch/bus"
	desk "github.com/tongma/tongma/switch/office"
	"github.com/tongma/tongma/switch/settle"
	"github.com/tongma/tongma/switch/shard"
)

// nodeConfig is what one running switch is made from.
type nodeConfig struct {
	data       string // folder of everything that lasts
	isoListen  string
	httpListen string
	natsListen string
	isoBudget  time.Duration // how long a till waits; zero: the door's default
	tls        bus.TLS
	external   *bus.External // run on this NATS; nil: on an embedded one
	replicas   int           // of the journal; zero: what the servers call for
	admit      bool          // let another switch stand by over the embedded NATS
	standby    bool          // wait until the switch that writes is lost
	shard      uint16        // which one this is, from 1; zero: there is one
	shards     uint16        // of how many
	nextFree   bool          // a busy port: take the next free one
	directory  []byte        // YAML to bring into force; nil keeps what the folder has
	sandbox    bool          // play money: simulated settlement agent, console without a token
	logger     *slog.Logger
}

// carrier is the NATS that a switch runs on: its own, or one elsewhere.
type carrier interface {
	Journal() (*nats.Conn, error)
	Switch() (*nats.Conn, error)
}

// node is a switch. It has a ground, which stays: the folder, NATS, the address of
// the HTTP door. On it stands an office, which comes and goes: the journal's
// writer, the engine, and the three front doors. Every part is started in newNode
// or in takeOffice and stopped in Close or in leaveOffice, in the opposite order.
type node struct {
	cfg      nodeConfig
	registry *schemes.Registry
	coming   *schemes.Directory // the version that this run brings into force, or the one in force; nil if there is none yet
	keys     *keyring.Keyring
	bus      *bus.Server // nil on a NATS elsewhere
	carrier  carrier
	front    front
	office   office

	// Of the office, and nil outside of it.
	store   *journal.JetStream
	engine  *switching.Engine
	api     *api.API
	settler *settle.Settler
	agents  agents
	tokens  tokens
	desk    *desk.Office
	others  *shard.Node // of a switch of several shards
	brings  chan brought

	isoAddr, httpAddr, natsURL string

	closing          sync.Mutex              // guards the next two lines: who comes from another shard has the directory kept beside all else
	ground, standing []func(context.Context) // what stops the parts of the one and of the other
	inOffice         bool
	once             sync.Once
}

const (
	journalStream  = "JOURNAL_0"
	journalSubject = "tm.journal.0"
	closeWithin    = 15 * time.Second
)

// newNode starts a switch that is its journal's writer. On an error everything
// that was started is stopped.
func newNode(ctx context.Context, cfg nodeConfig) (*node, error) {
	n, err := newGround(ctx, cfg)
	if err != nil {
		return nil, err
	}
	if err := n.takeOffice(ctx); err != nil {
		n.Close()
		return nil, err
	}
	return n, nil
}

// newGround starts what a switch needs whether or not it is the writer.
func newGround(ctx context.Context, cfg nodeConfig) (*node, error) {
	spareMemory()
	n := &node{cfg: cfg, brings: make(chan brought)}
	if err := inOrder(ctx, n.openDirectory, n.startBus, n.adoptDirectory, n.startFront); err != nil {
		n.Close()
		return nil, err
	}
	return n, nil
}

// takeOffice makes the switch the journal's writer, at once or, if it is to stand
// by, when the present one is lost, and opens its doors. On an error everything
// that it started is stopped.
func (n *node) takeOffice(ctx context.Context) error {
	n.closing.Lock()
	n.inOffice = true
	n.closing.Unlock()
	err := inOrder(ctx, n.openJournal, n.startEngine, n.startNATSDoor, n.startISODoor, n.startHTTPDoor, n.tell)
	if err != nil {
		n.leaveOffice()
	}
	return err
}

func inOrder(ctx context.Context, starts ...func(context.Context) error) error {
	for _, start := range starts {
		if err := start(ctx); err != nil {
			return err
		}
	}
	return nil
}

// onClose has f called when the office is left, or if there is none yet, at the end.
func (n *node) onClose(f func(context.Context)) {
	n.closing.Lock()
	defer n.closing.Unlock()
	if n.inOffice {
		n.standing = append(n.standing, f)
	} else {
		n.ground = append(n.ground, f)
	}
}

// leaveOffice stops the doors, then the engine, then its connections.
func (n *node) leaveOffice() {
	stopAll(n.begun(&n.standing))
	n.store, n.engine, n.api, n.settler, n.desk, n.others = nil, nil, nil, nil, nil, nil
}

// Close leaves the office, then gives up the ground.
func (n *node) Close() {
	n.once.Do(func() {
		n.leaveOffice()
		stopAll(n.begun(&n.ground))
	})
}

// begun returns what has begun, and what begins from now on is of the ground.
func (n *node) begun(closers *[]func(context.Context)) []func(context.Context) {
	n.closing.Lock()
	defer n.closing.Unlock()
	all := *closers
	*closers, n.inOffice = nil, false
	return all
}

func stopAll(closers []func(context.Context)) {
	ctx, cancel := context.WithTimeout(context.Background(), closeWithin)
	defer cancel()
	for i := len(closers) - 1; i >= 0; i-- {
		closers[i](ctx)
	}
}

func (n *node) openDirectory(context.Context) (err error) {
	if err := os.MkdirAll(n.cfg.data, 0o700); err != nil {
		return &exitError{code: exitConfig, err: err}
	}
	if n.keys, err = keyring.Open(n.cfg.data); err != nil {
		return &exitError{code: exitConfig, err: err}
	}
	if n.registry, err = schemes.OpenRegistry(filepath.Join(n.cfg.data, "directory")); err != nil {
		return &exitError{code: exitConfig, err: err}
	}
	if n.coming = n.registry.Current(); n.cfg.directory != nil {
		version := uint64(1)
		if n.coming != nil {
			version = n.coming.Version() + 1
		}
		if n.coming, err = schemes.Parse(version, n.cfg.directory); err != nil {
			return &exitError{code: exitConfig, err: err}
		}
	}
	if n.coming == nil && !n.cfg.standby { // who stands by finds it beside the journal
		return &exitError{code: exitConfig, err: errors.New("no directory of participants: give one with --directory FILE (see tongma config init)")}
	}
	return nil
}

// adoptDirectory keeps the version that was given, if it is new. It comes behind
// startBus, which takes the folder: a second switch that is refused must not leave
// its directory to the next start of the first. Who stands by goes by the
// journal's, and brings in its own only if there has never been another: an old
// file in its settings must not come into force with a take-over. So does a shard that
// follows another: it goes by that one's as soon as it has heard of it.
func (n *node) adoptDirectory(context.Context) error {
	if n.cfg.directory == nil || n.cfg.standby || n.follows() {
		return nil
	}
	if _, err := n.registry.Add(n.cfg.directory); err != nil {
		return &exitError{code: exitConfig, err: err}
	}
	return nil
}

// startBus starts NATS for the participants of the directory, or connects to the
// one that there is.
func (n *node) startBus(ctx context.Context) error {
	if n.cfg.external != nil {
		return n.joinBus(ctx)
	}
	participants, err := admitted(n.coming, n.keys)
	if err != nil {
		return err
	}
	var peers []bus.Peer
	if n.cfg.admit {
		peer, err := peerOf(n.cfg.data, n.keys)
		if err != nil {
			return err
		}
		peers = []bus.Peer{peer}
	}
	listen, err := n.free(n.cfg.natsListen)
	if err != nil {
		return err
	}
	if probe, err := net.Listen("tcp", listen); err == nil {
		_ = probe.Close()
	} else if errors.Is(err, syscall.EADDRINUSE) { // before the server says it three times over
		return busy("the NATS door", listen, "--nats-listen", err)
	}
	n.bus, err = bus.Start(bus.Config{Dir: n.cfg.data, Listen: listen, TLS: n.cfg.tls, Participants: participants, Peers: peers, Logger: n.cfg.logger})
	if errors.Is(err, bus.ErrInUse) {
		return &exitError{code: exitConflict, err: err, next: []string{"one switch at a time runs on a folder: stop the other one, or give another --data DIR"}}
	}
	if err != nil {
		return &exitError{code: exitUnreachable, err: err, next: []string{"give another address with --nats-listen HOST:PORT", "see who has the port: ss -ltnp"}}
	}
	n.natsURL, n.carrier = n.bus.URL(), n.bus
	n.onClose(func(context.Context) { n.bus.Shutdown() })
	return nil
}

// joinBus takes the folder, and tries the NATS that somebody else runs.
func (n *node) joinBus(ctx context.Context) error {
	lock, err := bus.Lock(n.cfg.data)
	if err != nil {
		return &exitError{code: exitConflict, err: err, next: []string{"one switch at a time runs on a folder: stop the other one, or give another --data DIR"}}
	}
	n.onClose(func(context.Context) { _ = lock.Close() })
	remote, err := bus.Connect(*n.cfg.external)
	for began := time.Now(); errors.Is(err, nats.ErrNoServers) && time.Since(began) < joinWithin; remote, err = bus.Connect(*n.cfg.external) {
		select { // machines of a cluster that are switched on together come in any order
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(lookAgain / 4):
		}
	}
	if err != nil {
		return &exitError{code: exitUnreachable, err: err, next: []string{"look at --nats, and at the keys: tongma cluster accounts --help"}}
	}
	n.natsURL, n.carrier = n.cfg.external.URL, remote
	n.onClose(func(context.Context) { remote.Close() })
	return nil
}

// admitted lists the participants that NATS lets in. Those whose key the keyring
// holds get one now if they have none.
func admitted(d *schemes.Directory, keys *keyring.Keyring) (participants []bus.Participant, err error) {
	for _, p := range d.Participants() {
		public := p.Key
		if p.KeyRef == schemes.RefCreds {
			key, err := keys.Generate(p.ID)
			if err != nil {
				return nil, &exitError{code: exitConfig, err: err}
			}
			public = key.PublicKey()
		}
		if public != "" {
			participants = append(participants, bus.Participant{ID: p.ID, PublicKey: public, Schemes: schemesOf(d, p.ID), Deals: p.Dealer != nil, Asks: true})
		}
	}
	return participants, nil
}

func schemesOf(d *schemes.Directory, p tongma.ParticipantID) (ids []tongma.SchemeID) {
	for _, s := range d.Schemes() {
		if s.Participant == p {
			ids = append(ids, s.ID)
		}
	}
	return ids
}

// free returns the address, or with nextFree the next one whose port can be had.
func (n *node) free(addr string) (string, error) {
	if addr == "" || !n.cfg.nextFree {
		return addr, nil
	}
	host, port, err := net.SplitHostPort(addr)
	first, atoiErr := strconv.Atoi(port)
	if err != nil || atoiErr != nil {
		return "", &exitError{code: exitConfig, err: fmt.Errorf("listen address %q: want host:port", addr)}
	}
	for p := first; p < first+100; p++ {
		next := net.JoinHostPort(host, strconv.Itoa(p))
		l, err := net.Listen("tcp", next)
		if err == nil {
			return next, l.Close()
		}
	}
	return addr, nil
}

func (n *node) listen(addr, what, flag string) (net.Listener, error) {
	addr, err := n.free(addr)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, busy(what, addr, flag, err)
	}
	return l, nil
}

// busy says that an address cannot be had, and what to do about it.
func busy(what, addr, flag string, err error) error {
	return &exitError{code: exitUnreachable, err: fmt.Errorf("%s cannot listen on %s: %w", what, addr, err),
		next: []string{"give another address with " + flag + " HOST:PORT", "see who has the port: ss -ltnp"}}
}

func (n *node) startEngine(ctx context.Context) error {
	sc, err := n.carrier.Switch()
	if err != nil {
		return err
	}
	n.onClose(func(context.Context) { sc.Close() })
	n.office.people = sc
	tracer, stopTracing, err := startTracing(ctx)
	if err != nil {
		return &exitError{code: exitConfig, err: err}
	}
	n.onClose(stopTracing)
	outbox, err := switching.NewEventOutbox(sc, switching.EventOutboxOptions{Mark: n.office.mark, Replicas: n.office.replicas, Later: n.shared(), Shard: n.cfg.shard, Logger: n.cfg.logger})
	if err != nil {
		return err
	}
	if err := n.makeShard(); err != nil {
		return err
	}
	feed := api.NewFeed()
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	adapters := map[tongma.SchemeID]switching.Adapter{}
	n.engine, err = switching.Open(ctx, switching.Options{
		Store: n.store, Registry: n.registry, Adapters: adapters, Digest: n.keys.Digest, Outbox: outbox,
		Keep:    n.keepDirectory,
		Dealer:  func(id tongma.ParticipantID) (switching.Dealer, func()) { return dealer(sc, id) },
		Metrics: switching.NewMetrics(reg), Tracer: tracer, Logger: n.cfg.logger, OnCommit: n.committed(feed), Shards: n.shardsOfEngine(), Shard: n.journalNumber(), NewID: n.newID(),
		Office: func(ctx context.Context, opts clearing.LedgerOptions) (*clearing.Ledger, error) {
			ledger, err := n.enter(ctx, opts, outbox)
			if err == nil {
				n.makeAdapters(adapters)
			}
			return ledger, err
		},
		Journal: []journal.Option{journal.WithCheckpoint(filepath.Join(n.cfg.data, "checkpoint"), time.Second)},
	})
	if err != nil {
		return takeUpError(err, n.cfg.data)
	}
	n.holdOffice() // first, so that its last word comes when the engine has been closed
	engine := n.engine
	n.onClose(func(context.Context) { _ = engine.Close() })
	if err := n.startShard(ctx); err != nil {
		return err
	}
	if err := outbox.Start(ctx, n.engine); err != nil {
		return err
	}
	n.onClose(outbox.Stop)
	if err := n.startSettling(ctx); err != nil {
		return err
	}
	return n.makeAPI(feed, reg)
}

// makeAdapters makes the schemes' adapters, by the directory that will be in force.
func (n *node) makeAdapters(adapters map[tongma.SchemeID]switching.Adapter) {
	for _, s := range n.registry.Current().Schemes() {
		adapters[s.ID] = n.adapter(s)
	}
}

func (n *node) adapter(s *schemes.Scheme) switching.Adapter {
	a := native.NewAdapter(n.office.people, s.ID, native.AdapterOptions{Timeout: s.AuthoriseTimeout})
	n.onClose(func(context.Context) { a.Close() })
	return a
}

// dealer makes how a dealer is asked who quotes for itself.
func dealer(sc *nats.Conn, id tongma.ParticipantID) (switching.Dealer, func()) {
	d := native.NewDealer(sc, id, native.AdapterOptions{})
	return d, d.Close
}

func (n *node) makeAPI(feed *api.Feed, reg *prometheus.Registry) error {
	n.tokens.warn = n.cfg.logger.Warn
	err := n.tokens.know(n.cfg.data, n.registry.Current())
	if err != nil {
		return err
	}
	n.desk, err = desk.New(desk.Options{Shard: n.journalNumber(), Ledger: n.engine.Ledger(), Journal: n.store, Directory: n.engine.Directory, Past: n.registry, Now: time.Now, Data: n.cfg.data,
		NewID: n.disputeID})
	if err != nil {
		return &exitError{code: exitConfig, err: err}
	}
	n.api, err = api.New(api.Config{Engine: n.engine, Auth: &n.tokens, Settler: n.settler, Office: n.officeOfAPI(), Store: n.store, Feed: feed, Gatherer: reg,
		Logger: n.cfg.logger, Version: buildVersion(), Sandbox: n.cfg.sandbox, Shards: n.shardsOfAPI()})
	if err != nil {
		return err
	}
	door := n.api
	n.onClose(func(context.Context) { door.Close() })
	return nil
}

// startNATSDoor listens to participants. Switches do not share the work: one that
// was deposed and does not know it yet must not take requests away from the one in
// office, so that each hears all of them. Shards share it: any of them takes any.
func (n *node) startNATSDoor(ctx context.Context) error {
	sc, err := n.carrier.Switch()
	if err != nil {
		return err
	}
	door, err := native.ServeSwitch(context.WithoutCancel(ctx), sc, n.engine, native.SwitchOptions{Log: n.cfg.logger, MayAnswer: bus.AnswersTo,
		QueueGroup: n.queueGroup()})
	if err != nil {
		return err
	}
	n.onClose(func(ctx context.Context) { _ = door.Stop(ctx); sc.Close() })
	return nil
}

// acquirers finds participants by DE32, in whatever directory is in force.
type acquirers struct{ directory func() *schemes.Directory }

func (a acquirers) AcquirerByID(de32 string) (tongma.ParticipantID, bool) {
	p, ok := a.directory().ParticipantByAcquirerID(de32)
	if !ok {
		return "", false
	}
	return p.ID, true
}

func (n *node) startISODoor(ctx context.Context) error {
	if n.cfg.isoListen == "" {
		return nil
	}
	l, err := n.listen(n.cfg.isoListen, "the ISO 8583 door", "--iso8583-listen")
	if err != nil {
		return err
	}
	n.isoAddr = l.Addr().String()
	door := iso8583.NewServer(iso8583.Config{Switch: n.engine, Directory: acquirers{n.engine.Directory}, Budget: n.cfg.isoBudget, Logger: n.cfg.logger})
	go func() {
		if err := door.Serve(context.WithoutCancel(ctx), l); err != nil {
			n.cfg.logger.Error("the ISO 8583 door has stopped", "err", err)
		}
	}()
	n.onClose(func(ctx context.Context) { _ = door.Shutdown(ctx) })
	return nil
}

// startHTTPDoor opens the front to the API.
func (n *node) startHTTPDoor(context.Context) error {
	n.front.show(n.api)
	n.onClose(func(context.Context) { n.front.show(n.waiting()) })
	return nil
}

// tell writes where the doors are, for the commands that are given the data
// folder only.
func (n *node) tell(context.Context) error {
	where := nodeFile{NATS: n.natsURL, ISO8583: n.isoAddr}
	if n.httpAddr != "" {
		where.HTTP = "http://" + n.httpAddr
	}
	n.onClose(func(context.Context) { _ = os.Remove(filepath.Join(n.cfg.data, "node.json")) })
	return tellWhere(n.cfg.data, where)
}

func tellWhere(dir string, where nodeFile) error {
	data, err := json.MarshalIndent(where, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "node.json"), append(data, '\n'), 0o600)
}

// dial connects as a participant whose key the keyring holds, over the socket
// that any participant would use.
func (n *node) dial(p tongma.ParticipantID) (*nats.Conn, error) {
	return dialAs(n.keys, p, n.natsURL, n.cfg.logger)
}

func dialAs(keys *keyring.Keyring, p tongma.ParticipantID, url string, log *slog.Logger) (*nats.Conn, error) {
	key, err := keys.Load(p)
	if err != nil {
		return nil, err
	}
	opts := append(native.ConnectOptions("sandbox-"+string(p), tongma.InboxPrefix(p)), nats.Nkey(key.PublicKey(), key.Sign),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			log.Warn("sandbox connection", "participant", string(p), "err", err)
		}))
	return nats.Connect(url, opts...)
}

// openStore opens the journal of a data folder for reading, by an embedded NATS
// that listens nowhere. A folder that a running switch has is refused.
func openStore(dir string) (journal.Store, func(), error) {
	if _, err := os.Stat(filepath.Join(dir, "nats")); errors.Is(err, os.ErrNotExist) {
		return nil, nil, failf(exitNotFound, "%s holds no journal", dir).then("name the data folder of a switch: --data DIR", "or the cluster that keeps the journal: --nats URL")
	} else if err != nil {
		return nil, nil, fileError(err)
	}
	srv, err := bus.Start(bus.Config{Dir: dir})
	if errors.Is(err, os.ErrPermission) {
		return nil, nil, &exitError{code: exitNotAllowed, err: err, next: []string{"whoever reads a journal locks its folder: work on a copy that you may write"}}
	}
	if err != nil {
		return nil, nil, &exitError{code: exitConflict, err: err, next: []string{"stop the switch that runs on this folder, or work on a copy of it"}}
	}
	nc, err := srv.Journal()
	if err != nil {
		srv.Shutdown()
		return nil, nil, err
	}
	stop := func() { nc.Close(); srv.Shutdown() }
	store, err := journal.OpenJetStream(context.Background(), nc, journal.JetStreamConfig{Stream: journalStream, Subject: journalSubject})
	if err != nil {
		stop()
		return nil, nil, err
	}
	return store, stop, nil
}
