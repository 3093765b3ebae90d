package agentsim

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing/iso20022"
)

// Options are the edges of a Server.
type Options struct {
	Path     string           // file of the books; none: memory only
	Now      func() time.Time // default time.Now
	Zone     *time.Location   // of its business days; default UTC
	Rules    Rules            // what it refuses that it could carry out
	Party    iso20022.Party   // who the agent is; default an id AGENT
	Token    string           // the switch's; none only if TLS asks for certificates of clients
	Admin    string           // the operator's; none: /admin is closed
	TLS      *tls.Config      // none: plain HTTP
	Accounts []Account        // opened at the start if they are not there; their Balance is paid in once
}

// Server is the agent. Its methods may be called from any goroutine.
type Server struct {
	opts    Options
	handler http.Handler
	http    *http.Server
	slots   chan struct{} // requests at work

	// mu guards bank and file. Nothing else is taken while it is held.
	mu   sync.Mutex
	bank *bank
	file *file
	done sync.WaitGroup // the accept loop
}

// Bounds of a server.
const (
	maxRequests  = 64
	maxAccounts  = 100_000
	minToken     = 16
	readTimeout  = 15 * time.Second
	writeTimeout = 30 * time.Second
)

// New reads the books and opens the accounts that are not there.
func New(opts Options) (*Server, error) {
	opts.Now, opts.Zone = orNow(opts.Now), cmp.Or(opts.Zone, time.UTC)
	if err := opts.Rules.valid(); err != nil {
		return nil, err
	}
	if opts.Party.IsZero() {
		opts.Party = iso20022.Party{Other: "AGENT"}
	}
	certificates := opts.TLS != nil && opts.TLS.ClientAuth == tls.RequireAndVerifyClientCert
	if (opts.Token == "" && !certificates) || (opts.Token != "" && len(opts.Token) < minToken) || (opts.Admin != "" && len(opts.Admin) < minToken) || (opts.Admin != "" && opts.Admin == opts.Token) {
		return nil, &tongma.Error{Op: "agentsim.New", Reason: tongma.SetupInvalid, Field: "/token", Detail: "two different tokens of at least 16 characters, or certificates of clients"}
	}
	s := &Server{opts: opts, bank: newBank(), slots: make(chan struct{}, maxRequests)}
	var err error
	if s.file, err = openFile(opts.Path, s.bank.apply); err != nil {
		return nil, err
	}
	s.handler = s.routes()
	for _, a := range opts.Accounts {
		if err := s.openOnce(a); err != nil {
			return nil, errors.Join(err, s.file.close())
		}
	}
	return s, nil
}

func orNow(now func() time.Time) func() time.Time {
	if now == nil {
		return time.Now
	}
	return now
}

// openOnce opens an account that is not there, and pays its balance in.
func (s *Server) openOnce(a Account) error {
	balance := a.Balance
	s.mu.Lock()
	_, there := s.bank.accounts[accountKey{a.ID, a.Code}]
	s.mu.Unlock()
	if there {
		return nil
	}
	if err := s.Open(a); err != nil || balance == 0 {
		return err
	}
	return s.Fund("opening/"+a.ID+"/"+a.Code, a.ID, a.Code, balance)
}

// ReadToken reads a token from a file of its own: at least 16 characters, blanks
// around it do not count. Nobody but the file's owner may be able to read it.
func ReadToken(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", fileFault(path, err)
	}
	if info.Size() > 4096 || info.Mode().Perm()&0o077 != 0 {
		return "", fileFault(path, errors.New("a token file is at most 4 KiB long and closed to others: chmod 600"))
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return "", fileFault(path, err)
	}
	token := strings.TrimSpace(string(data))
	if len(token) < minToken {
		return "", fileFault(path, errors.New("a token has at least 16 characters"))
	}
	return token, nil
}

// Handler returns the service without a listener.
func (s *Server) Handler() http.Handler { return s.handler }

// Listen serves on an address until Close, and returns where it listens.
func (s *Server) Listen(addr string) (net.Addr, error) {
	var l net.Listener
	var err error
	if s.opts.TLS != nil {
		l, err = tls.Listen("tcp", addr, s.opts.TLS)
	} else {
		l, err = net.Listen("tcp", addr)
	}
	if err != nil {
		return nil, &tongma.Error{Op: "agentsim.Listen", Reason: tongma.SetupInvalid, Err: err}
	}
	s.http = &http.Server{Handler: s.handler, ReadTimeout: readTimeout, WriteTimeout: writeTimeout, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
		TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){}} // HTTP/1.1 alone: a connection can be ended without an answer
	s.done.Go(func() { _ = s.http.Serve(l) })
	return l.Addr(), nil
}

// Close ends the service, and waits for requests at work until ctx ends.
func (s *Server) Close(ctx context.Context) error {
	var err error
	if s.http != nil {
		if err = s.http.Shutdown(ctx); err != nil {
			err = errors.Join(err, s.http.Close())
		}
		s.done.Wait()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.file.err = cmp.Or(s.file.err, error(&tongma.Error{Op: "agentsim", Reason: tongma.ShuttingDown}))
	return errors.Join(err, s.file.close())
}

// write makes a change durable, then true. If we stop between the two, the next
// start applies it (TestARestartKeepsWhatWasAnswered).
func (s *Server) write(c *change) error {
	if c.empty() {
		return s.file.err
	}
	if err := s.bank.check(c); err != nil {
		return err
	}
	if err := s.file.append(c); err != nil {
		return err
	}
	return s.bank.apply(c)
}

func (c *change) empty() bool {
	return len(c.Accounts)+len(c.Movements)+len(c.Transactions)+len(c.Faults) == 0 && c.Message == nil && !c.Clear
}

// lock takes the books, after what was put off and is due now has been booked.
func (s *Server) lock() (*worker, error) {
	s.mu.Lock()
	now := s.opts.Now()
	if s.bank.pending > 0 {
		w := s.bank.worker(now, s.opts.Zone, s.opts.Rules)
		w.due()
		if err := s.write(w.done()); err != nil {
			s.mu.Unlock()
			return nil, err
		}
	}
	return s.bank.worker(now, s.opts.Zone, s.opts.Rules), nil
}

// edit runs one change under the lock.
func (s *Server) edit(make func(w *worker) error) error {
	w, err := s.lock()
	if err != nil {
		return err
	}
	defer s.mu.Unlock()
	if err := make(w); err != nil {
		return err
	}
	return s.write(w.done())
}

// Open opens an account, or changes what is said of it; its balance stays. The
// agent's own account of the currency is opened with the first.
func (s *Server) Open(a Account) error {
	c, known := tongma.CurrencyByCode(a.Code)
	known = known && c != 0
	kinds := []Kind{Participant, Settlement, Prefunding, Guarantee}
	switch {
	case !known:
		return &tongma.Error{Op: "agentsim.open", Reason: tongma.CurrencyUnknown, Field: "/currency"}
	case !slices.Contains(kinds, a.Kind):
		return invalid("/kind", "participant, settlement, prefunding or guarantee")
	case !iso20022.ValidAccount(accountID(a.ID)):
		return invalid("/id", "an IBAN, or at most 34 characters of the allowed set")
	case len(a.Owner) > 35 || len(a.Mandate) > 35:
		return invalid("/owner", "at most 35 characters")
	case a.Limit < 0 || a.Limit > maxBalance:
		return invalid("/limit_minor", "out of range")
	}
	return s.edit(func(w *worker) error {
		own := Account{ID: "OWN-" + a.Code, Code: a.Code, Kind: Own}
		if old := s.bank.accounts[accountKey{a.ID, a.Code}]; old != nil {
			if old.Kind != a.Kind || old.Balance < -a.Limit {
				return invalid("/limit_minor", "the balance is below it, or the kind is another")
			}
		} else if len(s.bank.accounts) >= maxAccounts {
			return &tongma.Error{Op: "agentsim.open", Reason: tongma.Overloaded}
		}
		if s.bank.accounts[accountKey{own.ID, own.Code}] == nil {
			w.out.Accounts = append(w.out.Accounts, own)
		}
		a.Balance, a.Currency = 0, c
		w.out.Accounts = append(w.out.Accounts, a)
		return nil
	})
}

// Fund pays money into an account from the agent's own, or out of it if minor is
// less than zero. The same key again is the same movement, once.
func (s *Server) Fund(key, account, currency string, minor int64) error {
	if key == "" || len(key) > 64 {
		return invalid("/key", "1 to 64 characters")
	}
	return s.edit(func(w *worker) error { return w.fund(key, account, currency, minor) })
}

// Plant plants a fault, and returns it with its id.
func (s *Server) Plant(f Fault) (Fault, error) {
	if f.Times == 0 {
		f.Times = 1
	}
	if err := f.valid(); err != nil {
		return f, err
	}
	err := s.edit(func(w *worker) error {
		if len(s.bank.faults) >= maxFaults {
			return &tongma.Error{Op: "agentsim.fault", Reason: tongma.Overloaded}
		}
		f.ID, f.At = s.bank.faultID(), w.out.At
		w.strikes.left, w.strikes.used[f.ID] = append(w.strikes.left, f), true
		return nil
	})
	return f, err
}

// ClearFaults takes all faults away. What they put off for good stays so.
func (s *Server) ClearFaults() error {
	return s.edit(func(w *worker) error { w.out.Clear = true; return nil })
}

// Faults returns those that are planted and not used up.
func (s *Server) Faults() (out []Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Fault{}, s.bank.faults...)
}

// Accounts returns all accounts, by currency and number.
func (s *Server) Accounts() ([]Account, error) {
	if _, err := s.lock(); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	return s.bank.list(), nil
}

// Balance returns what an account holds, in minor units; zero if there is none.
func (s *Server) Balance(id string, c tongma.Currency) int64 {
	if _, err := s.lock(); err != nil {
		return 0
	}
	defer s.mu.Unlock()
	if a := s.bank.accounts[accountKey{id, c.Code()}]; a != nil {
		return a.Balance
	}
	return 0
}

// Movements returns bookings behind a number, at most limit of them.
func (s *Server) Movements(after uint64, limit int) []Movement {
	s.mu.Lock()
	defer s.mu.Unlock()
	from := min(after, uint64(len(s.bank.movements)))
	to := min(from+uint64(max(limit, 0)), uint64(len(s.bank.movements)))
	return append([]Movement{}, s.bank.movements[from:to]...)
}
