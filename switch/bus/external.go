package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// External is a NATS server or cluster that somebody else runs. Its accounts and
// permissions are its operator's to set, as those of the embedded server are.
type External struct {
	URL     string       // several with commas between
	CA      string       // PEM file of its certificate authority; empty: those of the system
	Journal Credentials  // of a user of the journal's account
	Switch  Credentials  // of a user of the participants' account
	System  Credentials  // of a user of the system account, to see how it stores; may be empty
	Logger  *slog.Logger // nil: silent

	// AllowUnseen runs without having seen how the cluster stores. Say so, loudly,
	// wherever the switch shows how it is.
	AllowUnseen bool
}

// Credentials is one of two files: a .creds file, or the seed of an NKey user.
type Credentials struct {
	File, Seed string
}

func (c Credentials) empty() bool { return c == Credentials{} }

// Remote is an external server or cluster that the switch runs on. All of its
// connections begin at one server, so that either all of them are cut off with it
// or none.
type Remote struct {
	cfg    External
	scouts *scouts // nil where too few servers are named

	mu    sync.Mutex // guards begun
	begun string     // URL of the server of the latest connection
}

// ConnectJournal connects to the account that keeps the journal, and to nothing
// else: for those who read it.
func ConnectJournal(cfg External) (*nats.Conn, error) { return (&Remote{cfg: cfg}).Journal() }

// Connect tries both connections once, and closes them again: what is wrong shows
// now and not at the first payment. Of a cluster of three servers or more, all of which
// URL names, it has an eye on each from then on, until Close: a connection to one that
// is cut off from the others is moved within a second.
func Connect(cfg External) (*Remote, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	r := &Remote{cfg: cfg}
	clustered := false
	for name, creds := range map[string]Credentials{"journal": cfg.Journal, "switch": cfg.Switch} {
		nc, err := r.connect(name, creds)
		if err != nil {
			return nil, err
		}
		clustered = clustered || nc.ConnectedClusterName() != ""
		nc.Close()
	}
	options, err := r.options("scout", cfg.Journal)
	if err == nil && clustered {
		r.scouts = startScouts(strings.Split(cfg.URL, ","), options)
	}
	return r, err
}

// Close ends what Connect began. Connections are their callers' to close, before.
func (r *Remote) Close() {
	if r.scouts != nil {
		r.scouts.close()
	}
}

// Journal returns a new connection to the account that keeps the journal. The
// caller closes it.
func (r *Remote) Journal() (*nats.Conn, error) {
	return r.watched(r.connect("journal", r.cfg.Journal))
}

// Switch returns a new connection to the account of participants. The caller
// closes it.
func (r *Remote) Switch() (*nats.Conn, error) { return r.watched(r.connect("switch", r.cfg.Switch)) }

func (r *Remote) watched(nc *nats.Conn, err error) (*nats.Conn, error) {
	switch {
	case err != nil:
	case r.scouts != nil:
		r.scouts.watch(nc)
	case nc.ConnectedClusterName() != "":
		go keepReaching(nc)
	}
	return nc, err
}

// options are those of a connection with these credentials.
func (r *Remote) options(name string, c Credentials) ([]nats.Option, error) {
	options := append(clientOptions(name, remotePing, r.cfg.Logger), nats.Timeout(remoteTimeout), nats.FlusherTimeout(remoteTimeout))
	switch {
	case c.File != "" && c.Seed != "":
		return nil, fmt.Errorf("bus: connection of the %s: both a credentials file and a seed", name)
	case c.File != "":
		options = append(options, nats.UserCredentials(c.File))
	case c.Seed != "":
		nkey, err := nats.NkeyOptionFromSeed(c.Seed)
		if err != nil {
			return nil, fmt.Errorf("bus: connection of the %s: %w", name, err)
		}
		options = append(options, nkey)
	}
	if r.cfg.CA != "" {
		options = append(options, nats.RootCAs(r.cfg.CA))
	}
	return options, nil
}

func (r *Remote) connect(name string, c Credentials) (*nats.Conn, error) {
	options, err := r.options(name, c)
	if err != nil {
		return nil, err
	}
	if r.scouts != nil {
		options = append(options, nats.ReconnectToServer(r.scouts.choose))
	}
	url := r.cfg.URL
	r.mu.Lock()
	if r.begun != "" {
		others := slices.DeleteFunc(strings.Split(url, ","), func(one string) bool { return addressOf(one) == addressOf(r.begun) })
		url, options = strings.Join(append([]string{r.begun}, others...), ","), append(options, nats.DontRandomize())
	}
	r.mu.Unlock()
	nc, err := nats.Connect(url, options...)
	if err != nil {
		return nil, fmt.Errorf("bus: connection of the %s: %w", name, err)
	}
	r.mu.Lock()
	r.begun = nc.ConnectedUrl()
	r.mu.Unlock()
	return nc, nil
}

// remotePing is how often a server elsewhere is asked whether it is there. One that
// stands still is left for another of the cluster after two pings.
const remotePing = time.Second

// remoteTimeout is how long a server may take to let a connection in, or to take
// what is sent to it: one that stands still does neither.
const remoteTimeout = 2 * time.Second

// Durability is what was seen of how a cluster stores.
type Durability struct {
	Servers    []StorageServer // that answered; empty if none could be asked
	Replicas   int             // of the journal's stream
	SyncAlways bool            // every server that answered syncs every message
	Unseen     bool            // runs only because AllowUnseen is set
}

// StorageServer is one server's own word on how it stores.
type StorageServer struct {
	Name, Version string
	SyncAlways    bool
	SyncInterval  time.Duration
}

// oldestServer is the first version whose sync always is known to leave no hole
// in compaction, and that freezes a stream on an error of the disk.
var oldestServer = [3]int{2, 15, 2}

// ErrNotDurable is a cluster that does not, or is not seen to, keep what it
// acknowledges.
var ErrNotDurable = errors.New("bus: storage is not known to be durable")

// CheckDurable asks the servers how they store, and the journal's stream how
// often. It refuses a server older than 2.15.2, and unless all servers are seen to
// sync every message, a stream of fewer than three replicas. AllowUnseen lets pass
// what it cannot see, and nothing that it sees.
//
// What it cannot know: whether a server that did not answer within two seconds
// exists; whether disks keep what they say they have synced; whether replicas
// share one disk or one power supply, with which three of them that do not sync
// lose the last two minutes together; and what the operator changes afterwards.
func (r *Remote) CheckDurable(ctx context.Context, stream string) (Durability, error) {
	var d Durability
	err := r.look(ctx, stream, &d)
	if err != nil && r.cfg.AllowUnseen && !errors.Is(err, errSeenBad) {
		d.Unseen = true
		r.cfg.Logger.Error("bus: runs on storage that is not known to be durable", "reason", err)
		return d, nil
	}
	if err != nil {
		return d, fmt.Errorf("%w: %w", ErrNotDurable, err)
	}
	return d, nil
}

// errSeenBad is what was seen and must not be: AllowUnseen does not excuse it.
var errSeenBad = errors.New("seen")

func (r *Remote) look(ctx context.Context, stream string, d *Durability) error {
	if err := r.lookAtStream(ctx, stream, d); err != nil {
		return err
	}
	if !r.cfg.System.empty() {
		if err := r.askServers(ctx, d); err != nil {
			return err
		}
	}
	for _, s := range d.Servers {
		if !atLeast(s.Version, oldestServer) {
			return fmt.Errorf("%w: server %s is version %s, want 2.15.2 or later", errSeenBad, s.Name, s.Version)
		}
	}
	d.SyncAlways = len(d.Servers) > 0 && !slices.ContainsFunc(d.Servers, func(s StorageServer) bool { return !s.SyncAlways })
	switch {
	case d.SyncAlways || d.Replicas >= 3:
		return nil
	case len(d.Servers) > 0:
		return fmt.Errorf("%w: not all servers have sync_interval always, and the stream has %d replicas, want 3", errSeenBad, d.Replicas)
	case r.cfg.System.empty():
		return fmt.Errorf("the stream has %d replicas, and without credentials for the system account the servers' settings cannot be read", d.Replicas)
	}
	return fmt.Errorf("the stream has %d replicas, and no server with JetStream answered on the system account", d.Replicas)
}

func (r *Remote) lookAtStream(ctx context.Context, name string, d *Durability) error {
	nc, err := r.Journal()
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	stream, err := js.Stream(ctx, name)
	if err != nil {
		return fmt.Errorf("stream %s: %w", name, err)
	}
	d.Replicas = stream.CachedInfo().Config.Replicas
	if version := nc.ConnectedServerVersion(); !atLeast(version, oldestServer) {
		return fmt.Errorf("%w: server %s is version %s, want 2.15.2 or later", errSeenBad, nc.ConnectedServerName(), version)
	}
	return nil
}

// answerOfServer is what a server answers to a JSZ request.
type answerOfServer struct {
	Server struct {
		Name    string `json:"name"`
		Version string `json:"ver"`
	} `json:"server"`
	Data struct {
		Disabled bool `json:"disabled"`
		Config   struct {
			SyncInterval time.Duration `json:"sync_interval"`
			SyncAlways   bool          `json:"sync_always"`
		} `json:"config"`
	} `json:"data"`
}

// askStorage is where servers tell how they store.
const askStorage = "$SYS.REQ.SERVER.PING.JSZ"

// askServers asks all servers at once, and waits until half a second passes
// without an answer, or two in all.
func (r *Remote) askServers(ctx context.Context, d *Durability) error {
	nc, err := r.connect("system", r.cfg.System)
	if err != nil {
		return err
	}
	defer nc.Close()
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	inbox := nc.NewRespInbox()
	sub, err := nc.SubscribeSync(inbox)
	if err != nil {
		return err
	}
	if err := nc.PublishRequest(askStorage, inbox, nil); err != nil {
		return err
	}
	for patience := 2 * time.Second; ; patience = 500 * time.Millisecond {
		wait, cancel := context.WithTimeout(ctx, patience)
		m, err := sub.NextMsgWithContext(wait)
		cancel()
		if err != nil {
			return nil // no more answers; how many there were, the caller sees
		}
		var a answerOfServer
		if err := json.Unmarshal(m.Data, &a); err != nil {
			return fmt.Errorf("answer of a server: %w", err)
		}
		if a.Server.Name != "" && !a.Data.Disabled {
			d.Servers = append(d.Servers, StorageServer{a.Server.Name, a.Server.Version, a.Data.Config.SyncAlways, a.Data.Config.SyncInterval})
		}
	}
}

// atLeast compares a version with the least one. A pre-release such as
// "2.15.2-beta.1" is older than its number; what is no version is older than any.
func atLeast(version string, least [3]int) bool {
	version, _, early := strings.Cut(strings.TrimPrefix(version, "v"), "-")
	parts := strings.Split(version, ".")
	if len(parts) != len(least) {
		return false
	}
	for i, part := range parts {
		n, err := strconv.Atoi(part)
		if err != nil || n < least[i] {
			return false
		}
		if n > least[i] {
			return true
		}
	}
	return !early
}
