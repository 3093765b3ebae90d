package bus

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
)

// startTimeout is how long the server may take to recover its streams.
const startTimeout = 2 * time.Minute

// Server is the embedded server.
type Server struct {
	srv         *server.Server
	log         *logger
	lock        *os.File
	journalUser nkeys.KeyPair // drawn at Start, known to this process only
	switchUser  nkeys.KeyPair

	mu  sync.Mutex // guards cfg and reloads; the server is called while it is held
	cfg Config
}

// Start starts the server, and returns when its streams are there. It takes Dir
// for this process, names the process that has it, and names the address if that
// is taken. Every message of a stream is synced to disk before it is acknowledged.
func Start(cfg Config) (*Server, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("bus: %w", err)
	}
	lock, err := lockDir(cfg.Dir)
	if err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, lock: lock, log: &logger{log: cfg.Logger}}
	if err := s.run(); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return s, nil
}

func (s *Server) run() (err error) {
	if s.journalUser, err = nkeys.CreateUser(); err != nil {
		return fmt.Errorf("bus: %w", err)
	}
	if s.switchUser, err = nkeys.CreateUser(); err != nil {
		return fmt.Errorf("bus: %w", err)
	}
	options, err := s.options(&s.cfg)
	if err != nil {
		return err
	}
	if s.srv, err = server.NewServer(options); err != nil {
		return fmt.Errorf("bus: %w", err)
	}
	s.srv.SetLoggerV2(s.log, false, false, false)
	s.srv.Start()
	for deadline := time.Now().Add(startTimeout); ; {
		if err := s.failure(); err != nil {
			s.stop()
			return err
		}
		if s.srv.ReadyForConnections(50*time.Millisecond) && s.srv.JetStreamEnabled() {
			break
		}
		if time.Now().After(deadline) {
			s.stop()
			return fmt.Errorf("bus: server is not ready after %v", startTimeout)
		}
	}
	if js := s.srv.JetStreamConfig(); js == nil || !js.SyncAlways {
		s.stop()
		return errors.New("bus: server does not sync every message")
	}
	return nil
}

// failure puts what ended the server into words of ours.
func (s *Server) failure() error {
	err := s.log.failure()
	if err == nil {
		return nil
	}
	if strings.Contains(err.Error(), "address already in use") {
		return fmt.Errorf("bus: %s is in use by another program: %w", s.cfg.Listen, err)
	}
	return fmt.Errorf("bus: %w", err)
}

func (s *Server) options(cfg *Config) (*server.Options, error) {
	journalKey, err := s.journalUser.PublicKey()
	if err != nil {
		return nil, fmt.Errorf("bus: %w", err)
	}
	switchKey, err := s.switchUser.PublicKey()
	if err != nil {
		return nil, fmt.Errorf("bus: %w", err)
	}
	return cfg.options(journalKey, switchKey)
}

// Lock takes a data folder for this process, as Start does for its own, until the
// Closer is closed: for a switch whose NATS is elsewhere. ErrInUse says that
// another process has it.
func Lock(dir string) (io.Closer, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("bus: %w", err)
	}
	return lockDir(dir)
}

// Journal returns a new connection to the account that keeps the journal. The
// caller closes it.
func (s *Server) Journal() (*nats.Conn, error) { return s.connect("journal", s.journalUser) }

// Switch returns a new connection to the account of participants, with all
// rights in it. The caller closes it.
func (s *Server) Switch() (*nats.Conn, error) { return s.connect("switch", s.switchUser) }

func (s *Server) connect(name string, user nkeys.KeyPair) (*nats.Conn, error) {
	key, err := user.PublicKey()
	if err != nil {
		return nil, fmt.Errorf("bus: %w", err)
	}
	options := append(clientOptions(name, 10*time.Second, s.cfg.Logger), s.InProcess(), nats.Nkey(key, user.Sign))
	nc, err := nats.Connect("", options...)
	if err != nil {
		return nil, fmt.Errorf("bus: connection of the %s: %w", name, err)
	}
	return nc, nil
}

// InProcess makes nats.Connect connect within the process, as an adapter may do
// with its participant's NKey.
func (s *Server) InProcess() nats.Option { return nats.InProcessServer(s.srv) }

// URL returns where participants connect, or nothing if they cannot.
func (s *Server) URL() string {
	if s.cfg.Listen == "" {
		return ""
	}
	return s.srv.ClientURL()
}

// Err returns why the server can no longer be relied on, or nil. A stream whose
// disk fails is not seen here: its commits end in doubt.
func (s *Server) Err() error {
	if err := s.failure(); err != nil {
		return err
	}
	if !s.srv.Running() || !s.srv.JetStreamEnabled() {
		return errors.New("bus: the server has stopped storing")
	}
	return nil
}

// UpdateParticipants lets in those given from now on, and nobody else: whoever
// is gone is disconnected, and whoever has other rights has them at once. Other
// connections go on, and nothing of the journal is touched. On an error all is as
// before.
func (s *Server) UpdateParticipants(participants []Participant) error {
	if err := checkParticipants(participants); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	cfg := s.cfg
	cfg.Participants = participants
	options, err := s.options(&cfg)
	if err != nil {
		return err
	}
	if err := s.srv.ReloadOptions(options); err != nil {
		return fmt.Errorf("bus: participants: %w", err)
	}
	s.cfg.Participants = participants
	return nil
}

// Shutdown stops the server, waits until all of it has ended, and gives Dir up.
// Stop taking requests and close connections before.
func (s *Server) Shutdown() {
	s.stop()
	s.lock.Close()
}

func (s *Server) stop() {
	s.srv.Shutdown()
	s.srv.WaitForShutdown()
}
