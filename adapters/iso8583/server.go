package iso8583

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/tongma/tongma"
)

// Switch is what the front door asks. Do may be called by many goroutines at
// once. An Answer carries refusals too; an error is a *tongma.Error, and says
// that nothing was decided. A repeat of the same Key gets the same Answer. Do
// returns when ctx ends, if it has not before.
type Switch interface {
	Do(ctx context.Context, r tongma.Request) (tongma.Answer, error)
}

// Directory says who an acquirer is. It may be called by many goroutines at
// once, and must not block.
type Directory interface {
	// AcquirerByID returns the participant that an acquirer's number (DE32, as it
	// was sent) belongs to.
	AcquirerByID(de32 string) (tongma.ParticipantID, bool)
}

// Metrics are told of what happens. Any may be nil. They are called by many
// goroutines at once, and must not block.
type Metrics struct {
	Handled func(mti, de39 string, took time.Duration) // a message was answered
	Dropped func(tongma.Reason)                        // a message was not answered: the reason, or NoReason for a copy or a stray response
	Links   func(change int)                           // a link was opened (1) or closed (-1)
}

// Config is what a Server is made of. Switch and Directory must be given;
// anything else may be zero.
type Config struct {
	Switch    Switch
	Directory Directory
	Logger    *slog.Logger // default: nothing is logged

	Budget       time.Duration // how long an acquirer waits for a reply; default 30 s
	ReadTimeout  time.Duration // from a frame's first byte to its last; default 10 s
	IdleTimeout  time.Duration // without any frame; default 5 min
	WriteTimeout time.Duration // for one write; default 5 s
	// SignOnTimeout is how long a link may be open before anybody has signed on,
	// so that strangers cannot hold all links; default 30 s.
	SignOnTimeout time.Duration
	MaxFrame      int // largest message; default and most 9999
	MaxInFlight   int // requests of one link that are worked on at once; default 1024
	MaxLinks      int // default 1024; one more is closed at once

	// Key returns the MAC key of an acquirer, or nil if its messages carry none.
	Key func(de32 string) *MAC
	// Decimals returns a participant's deviations from ISO 4217, or nil.
	Decimals func(tongma.ParticipantID) Decimals
	// SettlementDate returns DE15 (MMDD) of a clearing window, or "" if it is not
	// known. It must give the same for the same window for ever.
	SettlementDate func(tongma.WindowID) string

	Metrics Metrics
}

func (c Config) withDefaults() Config {
	orDuration := func(d *time.Duration, def time.Duration) {
		if *d <= 0 {
			*d = def
		}
	}
	orDuration(&c.Budget, defaultBudget)
	orDuration(&c.ReadTimeout, 10*time.Second)
	orDuration(&c.IdleTimeout, 5*time.Minute)
	orDuration(&c.WriteTimeout, 5*time.Second)
	orDuration(&c.SignOnTimeout, 30*time.Second)
	if c.MaxFrame < MinMessage || c.MaxFrame > MaxMessage {
		c.MaxFrame = MaxMessage
	}
	if c.MaxInFlight <= 0 {
		c.MaxInFlight = 1024
	}
	if c.MaxLinks <= 0 {
		c.MaxLinks = 1024
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Key == nil {
		c.Key = func(string) *MAC { return nil }
	}
	if c.Decimals == nil {
		c.Decimals = func(tongma.ParticipantID) Decimals { return nil }
	}
	if c.SettlementDate == nil {
		c.SettlementDate = func(tongma.WindowID) string { return "" }
	}
	c.Metrics = c.Metrics.withDefaults()
	return c
}

func (m Metrics) withDefaults() Metrics {
	if m.Handled == nil {
		m.Handled = func(string, string, time.Duration) {}
	}
	if m.Dropped == nil {
		m.Dropped = func(tongma.Reason) {}
	}
	if m.Links == nil {
		m.Links = func(int) {}
	}
	return m
}

// Server is the acquirers' front door. It is safe for use by several goroutines.
type Server struct {
	cfg Config

	// mu guards what follows. Nothing is waited for, and no link's lock is taken,
	// while it is held.
	mu        sync.Mutex
	closing   bool
	listeners map[net.Listener]struct{}
	links     map[*link]struct{}
	ended     sync.WaitGroup // links being served
}

// NewServer returns a server that does not listen yet. It panics if cfg has no
// Switch or no Directory, which is a fault of the program.
func NewServer(cfg Config) *Server {
	if cfg.Switch == nil || cfg.Directory == nil {
		panic("iso8583: a server needs a Switch and a Directory")
	}
	return &Server{cfg: cfg.withDefaults(), listeners: map[net.Listener]struct{}{}, links: map[*link]struct{}{}}
}

// Serve accepts links from l until ctx ends or Shutdown is called, and returns
// nil then. When ctx ends it also shuts all links down, giving the requests in
// flight as long as the budget. Requests in flight are never cancelled by ctx.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	if !s.addListener(l) {
		_ = l.Close() // nobody has used it
		return nil
	}
	defer s.removeListener(l)
	stop := context.AfterFunc(ctx, func() { _ = l.Close() }) // ends Accept
	defer stop()
	err := s.accept(context.WithoutCancel(ctx), l)
	if ctx.Err() == nil {
		if s.isClosing() {
			return nil
		}
		return err
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.cfg.Budget+s.cfg.WriteTimeout)
	defer cancel()
	return s.Shutdown(grace)
}

// accept serves every connection in a goroutine of its own. A passing fault of
// Accept, such as too many open files, is waited out.
func (s *Server) accept(ctx context.Context, l net.Listener) error {
	for wait := 5 * time.Millisecond; ; {
		conn, err := l.Accept()
		switch {
		case err == nil:
			wait = 5 * time.Millisecond
			s.open(ctx, conn)
		case errors.Is(err, net.ErrClosed):
			return nil
		case wait > 2*time.Second:
			return &tongma.Error{Op: "iso8583: accept", Reason: tongma.Internal, Err: err}
		default:
			time.Sleep(wait)
			wait *= 2
		}
	}
}

func (s *Server) open(ctx context.Context, conn net.Conn) {
	k := newLink(ctx, s, conn)
	s.mu.Lock()
	full := s.closing || len(s.links) >= s.cfg.MaxLinks
	if !full {
		s.links[k] = struct{}{}
		s.ended.Add(1)
	}
	s.mu.Unlock()
	if full {
		_ = conn.Close() // nothing was said on it
		s.cfg.Metrics.Dropped(tongma.Overloaded)
		return
	}
	s.cfg.Metrics.Links(1)
	go func() {
		defer s.ended.Done()
		k.serve()
		s.mu.Lock()
		delete(s.links, k)
		s.mu.Unlock()
		s.cfg.Metrics.Links(-1)
	}()
}

// Shutdown stops accepting and reading, waits until what had been read is
// answered, and closes the links. If ctx ends first it closes them as they are
// and returns ctx's error; the requests still in flight go on in the switch, and
// a repeat finds their answer there.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.closing = true
	for l := range s.listeners {
		_ = l.Close() // Accept returns net.ErrClosed
	}
	for k := range s.links {
		k.in.stop()
	}
	s.mu.Unlock()
	done := make(chan struct{})
	go func() {
		s.ended.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		s.mu.Lock()
		for k := range s.links {
			_ = k.conn.Close() // as told
		}
		s.mu.Unlock()
		return ctx.Err()
	}
}

func (s *Server) addListener(l net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return false
	}
	s.listeners[l] = struct{}{}
	return true
}

func (s *Server) removeListener(l net.Listener) {
	_ = l.Close() // it may be closed already
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.listeners, l)
}

func (s *Server) isClosing() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closing
}
