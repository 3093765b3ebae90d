package bus

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"
)

// Config says how the embedded server runs.
type Config struct {
	Dir            string        // all that must last; one process at a time
	Listen         string        // host:port, port 0 for a free one; empty: connections from within only
	TLS            TLS           // required unless Listen is loopback
	AllowPlaintext bool          // no TLS outside loopback, as behind a tunnel
	Participants   []Participant // who may connect
	Peers          []Peer        // other switches that may connect, to stand by
	MaxPayload     int           // of a message; 1 MiB if zero, which the journal needs most of
	MaxStore       int64         // bytes that all streams together may take; zero: what the disk has
	MaxConnections int           // 1,024 if zero
	Logger         *slog.Logger  // nil: silent
}

// Peer is another switch of the same journal: the public keys of its users in the
// two accounts, where it may do all that this switch may, and in the system
// account, where it may ask how servers store and nothing else.
type Peer struct {
	Journal, Switch, System string
}

// TLS names PEM files. With a ClientCA, clients must show a certificate too.
type TLS struct {
	Cert, Key, ClientCA string
}

// ErrInUse says that another process has the data folder.
var ErrInUse = errors.New("is in use")

// Bounds on clients of the server.
const (
	defaultPayload     = 1 << 20
	defaultConnections = 1024
	participantPayload = 64 << 10 // of a message in the TONGMA account
	maxSubscriptions   = 4096     // of one connection
	maxPending         = 32 << 20 // bytes that a slow client may leave unread
	writeDeadline      = 5 * time.Second
	pingInterval       = 15 * time.Second
	pingsOut           = 2
	authTimeoutSeconds = 3
	controlLine        = 4096
	answerOnce         = 1
	answerWithin       = time.Minute
)

// check reports what in the configuration would not work, or not be safe.
func (c *Config) check() error {
	if c.Dir == "" {
		return errors.New("bus: no data directory")
	}
	if c.MaxPayload < 0 || c.MaxPayload > 8<<20 {
		return fmt.Errorf("bus: max payload %d: 0 to 8 MiB", c.MaxPayload)
	}
	if (c.TLS.Cert == "") != (c.TLS.Key == "") || (c.TLS.ClientCA != "" && c.TLS.Cert == "") {
		return errors.New("bus: TLS needs a certificate and its key")
	}
	if err := errors.Join(checkParticipants(c.Participants), checkPeers(c.Peers)); err != nil {
		return err
	}
	if c.Listen == "" {
		return nil
	}
	host, _, err := c.address()
	if err != nil {
		return err
	}
	if !loopback(host) && c.TLS.Cert == "" && !c.AllowPlaintext {
		return fmt.Errorf("bus: %s is not loopback: give a certificate, or allow plaintext", c.Listen)
	}
	return nil
}

func (c *Config) address() (host string, port int, err error) {
	host, digits, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return "", 0, fmt.Errorf("bus: listen address: %w", err)
	}
	if port, err = strconv.Atoi(digits); err != nil || port < 0 || port > 65535 {
		return "", 0, fmt.Errorf("bus: listen address %s: not a port", c.Listen)
	}
	if host == "" {
		host = "0.0.0.0"
	}
	return host, port, nil
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// options returns what the server is started or reloaded with. Accounts and TLS
// go through the server's own configuration language, since only those that do
// are compared rightly on a reload.
func (c *Config) options(journalKey, switchKey string) (*server.Options, error) {
	o := &server.Options{}
	if err := o.ProcessConfigString(c.text(journalKey, switchKey)); err != nil {
		return nil, fmt.Errorf("bus: server configuration: %w", err)
	}
	o.ServerName = "tongma"
	o.NoSigs, o.DisableJetStreamBanner = true, true
	o.JetStream, o.StoreDir, o.SyncAlways = true, filepath.Join(c.Dir, "nats"), true
	o.JetStreamMaxStore = c.MaxStore
	o.JetStreamMaxMemory = 256 << 20
	o.MaxPayload = int32(orDefault(c.MaxPayload, defaultPayload))
	o.MaxConn = orDefault(c.MaxConnections, defaultConnections)
	o.MaxSubs, o.MaxPending, o.MaxControlLine = maxSubscriptions, maxPending, controlLine
	o.WriteDeadline, o.PingInterval, o.MaxPingsOut = writeDeadline, pingInterval, pingsOut
	o.AuthTimeout = authTimeoutSeconds
	if c.Listen == "" {
		o.DontListen = true
		return o, nil
	}
	host, port, err := c.address()
	if err != nil {
		return nil, err
	}
	o.Host, o.Port = host, port
	if port == 0 {
		o.Port = server.RANDOM_PORT
	}
	return o, nil
}

func orDefault(n, otherwise int) int {
	if n == 0 {
		return otherwise
	}
	return n
}

// text writes accounts, users and TLS in the server's configuration language.
func (c *Config) text(journalKey, switchKey string) string {
	var b strings.Builder
	if c.TLS.Cert != "" {
		fmt.Fprintf(&b, "tls { cert_file: %q, key_file: %q, min_version: \"1.3\", timeout: %d", c.TLS.Cert, c.TLS.Key, authTimeoutSeconds)
		if c.TLS.ClientCA != "" {
			fmt.Fprintf(&b, ", ca_file: %q, verify: true", c.TLS.ClientCA)
		}
		b.WriteString(" }\n")
	}
	writeAccounts(&b, &Peer{Journal: journalKey, Switch: switchKey}, c.Peers, c.Participants)
	return b.String()
}

// Accounts returns the accounts of a server or cluster that somebody else runs, in
// its configuration language: those of the embedded server, with the same rights.
func Accounts(peers []Peer, participants []Participant) (string, error) {
	if err := errors.Join(checkParticipants(participants), checkPeers(peers)); err != nil {
		return "", err
	}
	var b strings.Builder
	writeAccounts(&b, nil, peers, participants)
	return b.String(), nil
}

// writeAccounts writes the accounts. The switch that embeds the server, if one
// does, may connect from within the process only.
func writeAccounts(b *strings.Builder, embeds *Peer, peers []Peer, participants []Participant) {
	const inside = ", allowed_connection_types: [IN_PROCESS]"
	journalUser := func(key, only string) {
		fmt.Fprintf(b, "{ nkey: %s%s, permissions: { publish: { allow: \">\", deny: %s }, subscribe: \">\" } }\n",
			key, only, list([]string{"$JS.API.STREAM.DELETE.>", "$JS.API.STREAM.PURGE.>", "$JS.API.STREAM.MSG.DELETE.>"}))
	}
	fmt.Fprintf(b, "accounts {\n%s { jetstream: enabled, users: [\n", journalAccount)
	if embeds != nil {
		journalUser(embeds.Journal, inside)
	}
	for _, p := range peers {
		journalUser(p.Journal, "")
	}
	fmt.Fprintf(b, "] }\n%s { jetstream: enabled, limits: { max_payload: %d }, users: [\n", switchAccount, participantPayload)
	if embeds != nil {
		fmt.Fprintf(b, "{ nkey: %s%s }\n", embeds.Switch, inside)
	}
	for _, p := range peers {
		fmt.Fprintf(b, "{ nkey: %s }\n", p.Switch)
	}
	for _, p := range participants {
		r := p.rights()
		fmt.Fprintf(b, "{ nkey: %s, permissions: { publish: { allow: %s }, subscribe: { allow: %s }", p.PublicKey, list(r.publish), list(r.subscribe))
		if r.answers {
			fmt.Fprintf(b, ", allow_responses: { max: %d, expires: %q }", answerOnce, answerWithin)
		}
		b.WriteString(" } }\n")
	}
	b.WriteString("] }\n")
	if len(peers) == 0 {
		b.WriteString("}\n")
		return
	}
	fmt.Fprintf(b, "%s { users: [\n", systemAccount)
	for _, p := range peers {
		fmt.Fprintf(b, "{ nkey: %s, permissions: { publish: %q, subscribe: \"_INBOX_system.>\" } }\n", p.System, askStorage)
	}
	fmt.Fprintf(b, "] }\n}\nsystem_account: %s\n", systemAccount)
}

// checkPeers reports keys that are none of users, or are there twice.
func checkPeers(peers []Peer) error {
	seen := map[string]bool{}
	for i, p := range peers {
		for _, key := range []string{p.Journal, p.Switch, p.System} {
			if !nkeys.IsValidPublicUserKey(key) || seen[key] {
				return fmt.Errorf("bus: peer %d: want the public keys of three NKey users of its own", i)
			}
			seen[key] = true
		}
	}
	return nil
}

func list(subjects []string) string {
	quoted := make([]string, len(subjects))
	for i, s := range subjects {
		quoted[i] = strconv.Quote(s)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}
