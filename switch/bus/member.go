package bus

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// MemberConfig says how one server of a cluster runs, or one that is alone: for those
// who have no NATS of their own and want servers that are set up as a switch needs them.
type MemberConfig struct {
	Name         string   // of the server, one of its kind in the cluster
	Dir          string   // its copy of all streams; one process at a time
	Listen       string   // host:port for switches and participants
	RoutesListen string   // host:port for the other servers
	Routes       []string // host:port of the others' RoutesListen; its own may be among them; none: it is alone
	Accounts     string   // as Accounts writes them
	TLS          TLS      // required unless both addresses are loopback; ClientCA is what the other servers' certificates are checked by
	Logger       *slog.Logger
}

// clusterName is the same for all servers of a journal.
const clusterName = "tongma"

// Member is a server of a cluster that runs.
type Member struct {
	srv  *server.Server
	log  *logger
	lock *os.File
}

var memberName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,32}$`)

func (c *MemberConfig) check() error {
	if !memberName.MatchString(c.Name) {
		return fmt.Errorf("bus: name of a server %q: letters, digits, - and _, 32 at most", c.Name)
	}
	if c.Dir == "" || c.Accounts == "" {
		return errors.New("bus: a server needs a folder and accounts")
	}
	addresses, alone := []string{c.Listen, c.RoutesListen}, len(c.Routes) == 0
	if alone {
		addresses = addresses[:1]
	}
	if (c.TLS.Cert == "") != (c.TLS.Key == "") || (!alone && (c.TLS.Cert == "") != (c.TLS.ClientCA == "")) {
		return errors.New("bus: TLS needs a certificate and its key, and of a cluster the authority of the other servers")
	}
	for _, address := range addresses {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return fmt.Errorf("bus: listen address: %w", err)
		}
		if !loopback(host) && c.TLS.Cert == "" {
			return fmt.Errorf("bus: %s is not loopback: give certificates", address)
		}
	}
	return nil
}

// text is the server's own configuration. Whoever stores for a journal syncs every
// message, and lets nobody in but with the accounts' keys.
func (c *MemberConfig) text() string {
	var b strings.Builder
	routes := make([]string, len(c.Routes))
	for i, r := range c.Routes {
		routes[i] = "nats://" + strings.TrimPrefix(strings.TrimSpace(r), "nats://")
	}
	tls := ""
	if c.TLS.Cert != "" {
		own := fmt.Sprintf("cert_file: %q, key_file: %q, min_version: \"1.3\", timeout: %d", c.TLS.Cert, c.TLS.Key, authTimeoutSeconds)
		fmt.Fprintf(&b, "tls { %s }\n", own)
		tls = fmt.Sprintf(", tls { %s, ca_file: %q, verify: true }", own, c.TLS.ClientCA)
	}
	fmt.Fprintf(&b, "server_name: %s, listen: %q\njetstream { store_dir: %q, sync_interval: always }\n", c.Name, c.Listen, filepath.Join(c.Dir, "nats"))
	if len(c.Routes) == 0 {
		return b.String() + c.Accounts
	}
	fmt.Fprintf(&b, "cluster { name: %s, listen: %q, no_advertise: true, routes: %s%s }\n%s", clusterName, c.RoutesListen, list(routes), tls, c.Accounts)
	return b.String()
}

// StartMember starts a server, and returns when it lets clients in: that it has found
// the others, and a leader, is not waited for.
func StartMember(cfg MemberConfig) (*Member, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	o := &server.Options{}
	if err := o.ProcessConfigString(cfg.text()); err != nil {
		return nil, fmt.Errorf("bus: server configuration: %w", err)
	}
	o.NoSigs, o.DisableJetStreamBanner = true, true
	o.MaxPayload, o.MaxConn = defaultPayload, defaultConnections
	o.MaxPending, o.MaxControlLine = maxPending, controlLine
	o.WriteDeadline, o.PingInterval, o.MaxPingsOut = writeDeadline, pingInterval, pingsOut
	o.AuthTimeout = authTimeoutSeconds
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("bus: %w", err)
	}
	lock, err := lockDir(cfg.Dir)
	if err != nil {
		return nil, err
	}
	m := &Member{lock: lock, log: &logger{log: cfg.Logger}}
	if m.srv, err = server.NewServer(o); err != nil {
		return nil, errors.Join(fmt.Errorf("bus: %w", err), lock.Close())
	}
	m.srv.SetLoggerV2(m.log, false, false, false)
	m.srv.Start()
	for deadline := time.Now().Add(startTimeout); !m.srv.ReadyForConnections(50 * time.Millisecond); {
		if err := m.Err(); err != nil || time.Now().After(deadline) {
			m.Shutdown()
			return nil, errors.Join(errors.New("bus: the server does not start"), err)
		}
	}
	return m, nil
}

// Err returns why the server can no longer be relied on, or nil.
func (m *Member) Err() error { return m.log.failure() }

// URL returns where clients connect.
func (m *Member) URL() string { return m.srv.ClientURL() }

// Shutdown stops the server, waits until all of it has ended, and gives Dir up.
func (m *Member) Shutdown() {
	m.srv.Shutdown()
	m.srv.WaitForShutdown()
	_ = m.lock.Close()
}
