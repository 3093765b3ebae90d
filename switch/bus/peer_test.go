package bus

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"
)

// peer makes the three users of another switch, with their seeds in files.
func peer(t *testing.T) (Peer, External) {
	t.Helper()
	dir := t.TempDir()
	var keys, files [3]string
	for i := range keys {
		pair, err := nkeys.CreateUser()
		if err != nil {
			t.Fatal(err)
		}
		keys[i], _ = pair.PublicKey()
		seed, _ := pair.Seed()
		files[i] = filepath.Join(dir, string(rune('a'+i)))
		if err := os.WriteFile(files[i], seed, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return Peer{keys[0], keys[1], keys[2]}, External{Journal: Credentials{Seed: files[0]}, Switch: Credentials{Seed: files[1]}, System: Credentials{Seed: files[2]}}
}

// TestAnotherSwitchEntersOnlyIfItIsNamed: over the socket, into all three accounts,
// where it sees that every message is synced; with other keys, into none.
func TestAnotherSwitchEntersOnlyIfItIsNamed(t *testing.T) {
	named, cfg := peer(t)
	s := start(t, Config{Listen: "127.0.0.1:0", Peers: []Peer{named}})
	nc, err := s.Journal()
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, _ := jetstream.New(nc)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if _, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "J_0", Subjects: []string{"journal.0"}}); err != nil {
		t.Fatal(err)
	}
	cfg.URL = s.URL()
	r, err := Connect(cfg)
	if err != nil {
		t.Fatal(err)
	}
	d, err := r.CheckDurable(ctx, "J_0")
	if err != nil || !d.SyncAlways || len(d.Servers) != 1 {
		t.Fatalf("%+v %v", d, err)
	}
	there, err := r.Journal()
	if err != nil {
		t.Fatal(err)
	}
	defer there.Close()
	if err := there.Publish("$JS.API.STREAM.DELETE.J_0", nil); err != nil {
		t.Fatal(err)
	}
	_ = there.Flush()
	if _, err := js.Stream(ctx, "J_0"); err != nil {
		t.Errorf("another switch could delete the journal: %v", err)
	}
	_, stranger := peer(t)
	stranger.URL = s.URL()
	if _, err := Connect(stranger); err == nil {
		t.Error("a stranger is let in")
	}
	if err := checkPeers([]Peer{{named.Journal, named.Journal, named.System}}); err == nil {
		t.Error("one key for two accounts is taken")
	}
}

// TestAccountsAreWhatAServerTakes: with the rights of the embedded one.
func TestAccountsAreWhatAServerTakes(t *testing.T) {
	named, cfg := peer(t)
	shop := newUser(t, "shop", true)
	text, err := Accounts([]Peer{named}, []Participant{shop.Participant})
	if err != nil {
		t.Fatal(err)
	}
	o := &server.Options{}
	if err := o.ProcessConfigString("listen: \"127.0.0.1:-1\"\njetstream { store_dir: \"" + t.TempDir() + "\", sync_interval: always }\n" + text); err != nil {
		t.Fatal(err)
	}
	o.NoSigs, o.NoLog = true, true
	srv, err := server.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	defer func() { srv.Shutdown(); srv.WaitForShutdown() }()
	if !srv.ReadyForConnections(10 * time.Second) {
		t.Fatal("server does not start")
	}
	cfg.URL = srv.ClientURL()
	if _, err := Connect(cfg); err != nil {
		t.Fatal(err)
	}
	refused := make(chan error, 8)
	nc, err := nats.Connect(srv.ClientURL(), nats.Nkey(shop.PublicKey, shop.pair.Sign), nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { refused <- err }))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if err := nc.Publish("tm.v1.other.pay", nil); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-refused:
		if !strings.Contains(strings.ToLower(err.Error()), "permissions violation") {
			t.Error(err)
		}
	case <-time.After(5 * time.Second):
		t.Error("a participant asks under another's name")
	}
}
