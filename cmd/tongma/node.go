package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
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
)

// nodeConfig is what one running switch is made from.
type nodeConfig struct {
	data       string // folder of everything that lasts
	isoListen  string
	httpListen string
	natsListen string
	isoBudget  time.Duration // how long a till waits; zero: the door's default
	tls        bus.TLS
	nextFree   bool   // a busy port: take the next free one
	directory  []byte // YAML to bring into force; nil keeps what the folder has
	sandbox    bool   // play money: simulated settlement agent, console without a token
	agent      switching.SettlementAgent
	logger     *slog.Logger
}

// node is a running switch: the embedded NATS, the journal on it, the engine, and
// the three front doors. Every part is started in newNode and stopped in Close,
// in the opposite order.
type node struct {
	cfg      nodeConfig
	registry *schemes.Registry
	coming   *schemes.Directory // the version that this run brings into force, or the one in force
	keys     *keyring.Keyring
	bus      *bus.Server
	store    *journal.JetStream
	engine   *switching.Engine
	api      *api.API

	isoAddr, httpAddr, natsURL string

	closers []func(context.Context)
	once    sync.Once
}

const (
	journalStream  = "JOURNAL_0"
	journalSubject = "tm.journal.0"
	closeWithin    = 15 * time.Second
)

// newNode starts a switch. On an error everything that was started is stopped.
func newNode(ctx context.Context, cfg nodeConfig) (n *node, err error) {
	spareMemory()
	n = &node{cfg: cfg}
	defer func() {
		if err != nil {
			n.Close()
			n = nil
		}
	}()
	for _, start := range []func(context.Context) error{n.openDirectory, n.startBus, n.adoptDirectory, n.startEngine, n.startNATSDoor, n.startISODoor, n.startHTTPDoor, n.tell} {
		if err := start(ctx); err != nil {
			return n, err
		}
	}
	return n, nil
}

func (n *node) onClose(f func(context.Context)) { n.closers = append(n.closers, f) }

// Close stops the doors, then the engine, then the journal under it.
func (n *node) Close() {
	n.once.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), closeWithin)
		defer cancel()
		for i := len(n.closers) - 1; i >= 0; i-- {
			n.closers[i](ctx)
		}
	})
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
	if n.coming == nil {
		return &exitError{code: exitConfig, err: errors.New("no directory of participants: give one with --directory FILE (see tongma config init)")}
	}
	return nil
}

// adoptDirectory keeps the version that was given, if it is new. It comes behind
// startBus, which takes the folder: a second switch that is refused must not leave
// its directory to the next start of the first.
func (n *node) adoptDirectory(context.Context) error {
	if n.cfg.directory == nil {
		return nil
	}
	if _, err := n.registry.Add(n.cfg.directory); err != nil {
		return &exitError{code: exitConfig, err: err}
	}
	return nil
}

// startBus starts NATS for the participants of the directory. Those whose key the
// keyring holds get one now if they have none.
func (n *node) startBus(context.Context) error {
	d := n.coming
	var participants []bus.Participant
	for _, p := range d.Participants() {
		public := p.Key
		if p.KeyRef == schemes.RefCreds {
			key, err := n.keys.Generate(p.ID)
			if err != nil {
				return &exitError{code: exitConfig, err: err}
			}
			public = key.PublicKey()
		}
		if public != "" {
			participants = append(participants, bus.Participant{ID: p.ID, PublicKey: public, Schemes: schemesOf(d, p.ID), Asks: true})
		}
	}
	listen, err := n.free(n.cfg.natsListen)
	if err != nil {
		return err
	}
	n.bus, err = bus.Start(bus.Config{Dir: n.cfg.data, Listen: listen, TLS: n.cfg.tls, Participants: participants, Logger: n.cfg.logger})
	if errors.Is(err, bus.ErrInUse) {
		return &exitError{code: exitConflict, err: err, next: []string{"one switch at a time runs on a folder: stop the other one, or give another --data DIR"}}
	}
	if err != nil {
		return &exitError{code: exitUnreachable, err: err, next: []string{"give another address with --nats-listen HOST:PORT", "see who has the port: ss -ltnp"}}
	}
	n.natsURL = n.bus.URL()
	n.onClose(func(context.Context) { n.bus.Shutdown() })
	return nil
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
		return nil, &exitError{code: exitUnreachable, err: fmt.Errorf("%s cannot listen on %s: %w", what, addr, err),
			next: []string{"give another address with " + flag + " HOST:PORT", "see who has the port: ss -ltnp"}}
	}
	return l, nil
}

func (n *node) startEngine(ctx context.Context) error {
	jc, err := n.bus.Journal()
	if err != nil {
		return err
	}
	n.onClose(func(context.Context) { jc.Close() })
	if n.store, err = journal.OpenJetStream(ctx, jc, journal.JetStreamConfig{Stream: journalStream, Subject: journalSubject}); err != nil {
		return err
	}
	sc, err := n.bus.Switch()
	if err != nil {
		return err
	}
	n.onClose(func(context.Context) { sc.Close() })
	adapters := map[tongma.SchemeID]switching.Adapter{}
	for _, s := range n.registry.Current().Schemes() {
		a := native.NewAdapter(sc, s.ID, native.AdapterOptions{Timeout: s.AuthoriseTimeout})
		n.onClose(func(context.Context) { a.Close() })
		adapters[s.ID] = a
	}
	tracer, stopTracing, err := startTracing(ctx)
	if err != nil {
		return &exitError{code: exitConfig, err: err}
	}
	n.onClose(stopTracing)
	outbox, err := switching.NewEventOutbox(sc, n.cfg.data, n.cfg.logger)
	if err != nil {
		return err
	}
	marked := outbox.Marked()
	feed := api.NewFeed()
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	n.engine, err = switching.Open(ctx, switching.Options{
		Store: n.store, Registry: n.registry, Adapters: adapters, Digest: n.keys.Digest, Outbox: outbox,
		Metrics: switching.NewMetrics(reg), Tracer: tracer, Logger: n.cfg.logger, OnCommit: feed.Committed,
		OnReplay: func(es []clearing.Entry) {
			if len(es) > 0 && es[len(es)-1].Number > marked {
				outbox.Committed(es)
			}
		},
		Journal: []journal.Option{journal.WithCheckpoint(filepath.Join(n.cfg.data, "checkpoint"), time.Second)},
	})
	if err != nil {
		return &exitError{code: exitBooks, err: fmt.Errorf("the journal cannot be taken up: %w", err), next: []string{"tongma audit --data " + n.cfg.data}}
	}
	n.onClose(func(context.Context) { n.engine.Close() })
	if err := outbox.Start(ctx, n.engine); err != nil {
		return err
	}
	n.onClose(outbox.Stop)
	return n.makeAPI(feed, reg)
}

func (n *node) makeAPI(feed *api.Feed, reg *prometheus.Registry) error {
	var ids []tongma.ParticipantID
	for _, p := range n.registry.Current().Participants() {
		ids = append(ids, p.ID)
	}
	tokens, err := api.NewTokens(n.cfg.data, ids)
	if err != nil {
		return &exitError{code: exitConfig, err: err}
	}
	n.api, err = api.New(api.Config{Engine: n.engine, Auth: tokens, Agent: n.cfg.agent, Store: n.store, Feed: feed, Gatherer: reg,
		Logger: n.cfg.logger, Version: buildVersion(), Sandbox: n.cfg.sandbox})
	if err != nil {
		return err
	}
	n.onClose(func(context.Context) { n.api.Close() })
	return nil
}

func (n *node) startNATSDoor(ctx context.Context) error {
	sc, err := n.bus.Switch()
	if err != nil {
		return err
	}
	door, err := native.ServeSwitch(context.WithoutCancel(ctx), sc, n.engine, native.SwitchOptions{Log: n.cfg.logger, MayAnswer: bus.AnswersTo})
	if err != nil {
		return err
	}
	n.onClose(func(ctx context.Context) { _ = door.Stop(ctx); sc.Close() })
	return nil
}

// acquirers finds participants by DE32, in whatever directory is in force.
type acquirers struct{ registry *schemes.Registry }

func (a acquirers) AcquirerByID(de32 string) (tongma.ParticipantID, bool) {
	p, ok := a.registry.Current().ParticipantByAcquirerID(de32)
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
	door := iso8583.NewServer(iso8583.Config{Switch: n.engine, Directory: acquirers{n.registry}, Budget: n.cfg.isoBudget, Logger: n.cfg.logger})
	go func() {
		if err := door.Serve(context.WithoutCancel(ctx), l); err != nil {
			n.cfg.logger.Error("the ISO 8583 door has stopped", "err", err)
		}
	}()
	n.onClose(func(ctx context.Context) { _ = door.Shutdown(ctx) })
	return nil
}

func (n *node) startHTTPDoor(context.Context) error {
	if n.cfg.httpListen == "" {
		return nil
	}
	l, err := n.listen(n.cfg.httpListen, "the HTTP door", "--http-listen")
	if err != nil {
		return err
	}
	n.httpAddr = l.Addr().String()
	srv := api.Server(n.httpAddr, n.api)
	go func() {
		if err := srv.Serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) {
			n.cfg.logger.Error("the HTTP door has stopped", "err", err)
		}
	}()
	n.onClose(func(ctx context.Context) { n.api.Close(); _ = srv.Shutdown(ctx) })
	return nil
}

// tell writes where the doors are, for the commands that are given the data
// folder only.
func (n *node) tell(context.Context) error {
	where := map[string]string{"nats": n.natsURL, "iso8583": n.isoAddr}
	if n.httpAddr != "" {
		where["http"] = "http://" + n.httpAddr
	}
	data, err := json.MarshalIndent(where, "", "  ")
	if err != nil {
		return err
	}
	path := filepath.Join(n.cfg.data, "node.json")
	n.onClose(func(context.Context) { _ = os.Remove(path) })
	return os.WriteFile(path, append(data, '\n'), 0o600)
}

// dial connects as a participant whose key the keyring holds, over the socket
// that any participant would use.
func (n *node) dial(p tongma.ParticipantID) (*nats.Conn, error) {
	key, err := n.keys.Load(p)
	if err != nil {
		return nil, err
	}
	opts := append(native.ConnectOptions("sandbox-"+string(p), tongma.InboxPrefix(p)), nats.Nkey(key.PublicKey(), key.Sign),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			n.cfg.logger.Warn("sandbox connection", "participant", string(p), "err", err)
		}))
	return nats.Connect(n.natsURL, opts...)
}

// openStore opens the journal of a data folder for reading, by an embedded NATS
// that listens nowhere. A folder that a running switch has is refused.
func openStore(dir string) (journal.Store, func(), error) {
	if _, err := os.Stat(filepath.Join(dir, "nats")); err != nil {
		return nil, nil, &exitError{code: exitNotFound, err: fmt.Errorf("%s holds no journal", dir)}
	}
	srv, err := bus.Start(bus.Config{Dir: dir})
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
