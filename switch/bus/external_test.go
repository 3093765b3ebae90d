package bus

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"

	"github.com/tongma/tongma/clearing/journal"
)

// The embedded server carries the journal as it is.
func TestEmbeddedServerCarriesTheJournal(t *testing.T) {
	dir := t.TempDir()
	for round := range uint64(3) {
		s, err := Start(Config{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		nc, err := s.Journal()
		if err != nil {
			t.Fatal(err)
		}
		store, err := journal.OpenJetStream(t.Context(), nc, journal.JetStreamConfig{Stream: "J_0", Subject: "journal.0"})
		if err != nil {
			t.Fatal(err)
		}
		l, err := journal.Open(t.Context(), store, 0, func(journal.Batch) error { return nil })
		if err != nil {
			t.Fatal(err)
		}
		if err := l.TakeOver(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		if err := l.Commit(t.Context(), [][]byte{make([]byte, journal.MaxBytes)}, 1, 1); err != nil {
			t.Fatal(err)
		}
		if l.Epoch() != round+1 || l.Next() != round+2 {
			t.Fatalf("epoch %d, next entry %d", l.Epoch(), l.Next())
		}
		nc.Close()
		if err := s.Err(); err != nil {
			t.Fatal(err)
		}
		s.Shutdown()
		if s.Err() == nil {
			t.Fatal("a server that has stopped looks well")
		}
	}
}

// certificate writes a self-signed one for 127.0.0.1.
func certificate(t *testing.T) TLS {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	files := TLS{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	for path, block := range map[string]*pem.Block{files.Cert: {Type: "CERTIFICATE", Bytes: der}, files.Key: {Type: "PRIVATE KEY", Bytes: pkcs8}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

func TestParticipantsConnectOverTLSAndNotWithout(t *testing.T) {
	files := certificate(t)
	shop := newUser(t, "shop", true)
	s := start(t, Config{Listen: "0.0.0.0:0", TLS: files}, shop)
	_, port, err := net.SplitHostPort(s.srv.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	url := "tls://127.0.0.1:" + port
	nc, err := nats.Connect(url, nats.RootCAs(files.Cert), nats.Nkey(shop.PublicKey, shop.pair.Sign))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if state, err := nc.TLSConnectionState(); err != nil || state.Version != tls.VersionTLS13 {
		t.Fatalf("%v %v", state.Version, err)
	}
	if nc, err := nats.Connect(url, nats.Nkey(shop.PublicKey, shop.pair.Sign)); err == nil {
		nc.Close()
		t.Fatal("connected without knowing the certificate")
	}
	if err := s.UpdateParticipants([]Participant{shop.Participant, newUser(t, "wallet", true).Participant}); err != nil {
		t.Fatal(err)
	}
	if err := theSwitch(t, s).Publish("tm.v1.adapter.x.y", nil); err != nil {
		t.Fatal(err)
	}
}

// cluster starts a server of somebody else, with a user for each account.
func cluster(t *testing.T, sync string) External {
	t.Helper()
	dir := t.TempDir()
	var keys [3]string
	var files [3]string
	for i := range keys {
		pair, err := nkeys.CreateUser()
		if err != nil {
			t.Fatal(err)
		}
		if keys[i], err = pair.PublicKey(); err != nil {
			t.Fatal(err)
		}
		seed, err := pair.Seed()
		if err != nil {
			t.Fatal(err)
		}
		files[i] = filepath.Join(dir, fmt.Sprint("seed", i))
		if err := os.WriteFile(files[i], seed, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	o := &server.Options{}
	err := o.ProcessConfigString(fmt.Sprintf(`
		listen: "127.0.0.1:-1"
		jetstream { store_dir: %q, sync_interval: %s }
		accounts { J { jetstream: enabled, users: [ { nkey: %s } ] }, T { jetstream: enabled, users: [ { nkey: %s } ] }, SYS { users: [ { nkey: %s } ] } }
		system_account: SYS`, filepath.Join(dir, "js"), sync, keys[0], keys[1], keys[2]))
	if err != nil {
		t.Fatal(err)
	}
	o.NoSigs, o.NoLog = true, true
	s, err := server.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("server does not start")
	}
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	return External{URL: s.ClientURL(), Journal: Credentials{Seed: files[0]}, Switch: Credentials{Seed: files[1]}, System: Credentials{Seed: files[2]}}
}

func TestExternalClusterMustBeSeenToBeDurable(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for _, test := range []struct {
		name        string
		sync        string
		system      bool
		allowUnseen bool
		ok, unseen  bool
	}{
		{"syncs always", "always", true, false, true, false},
		{"syncs now and then", `"2m"`, true, false, false, false},
		{"seen to sync now and then", `"2m"`, true, true, false, false},
		{"unseen", "always", false, false, false, false},
		{"unseen, and allowed", "always", false, true, true, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			cfg := cluster(t, test.sync)
			if !test.system {
				cfg.System = Credentials{}
			}
			cfg.AllowUnseen = test.allowUnseen
			r, err := Connect(cfg)
			if err != nil {
				t.Fatal(err)
			}
			nc, err := r.Journal()
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
			js, _ := jetstream.New(nc)
			if _, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "J_0", Subjects: []string{"journal.0"}}); err != nil {
				t.Fatal(err)
			}
			d, err := r.CheckDurable(ctx, "J_0")
			if (err == nil) != test.ok || d.Unseen != test.unseen || (err != nil && !errors.Is(err, ErrNotDurable)) {
				t.Fatalf("%+v %v", d, err)
			}
			if test.system && (len(d.Servers) != 1 || d.Servers[0].SyncAlways != (test.sync == "always")) {
				t.Fatalf("saw %+v", d.Servers)
			}
		})
	}
}

func TestConnectSaysWhatIsWrongNow(t *testing.T) {
	cfg := cluster(t, "always")
	cfg.Switch = Credentials{Seed: filepath.Join(t.TempDir(), "none")}
	if _, err := Connect(cfg); err == nil {
		t.Fatal("connected without a key")
	}
	cfg.Switch = Credentials{Seed: "a", File: "b"}
	if _, err := Connect(cfg); err == nil {
		t.Fatal("connected with two")
	}
}

func TestVersionsAreCompared(t *testing.T) {
	for version, want := range map[string]bool{
		"2.15.2": true, "2.15.3": true, "2.16.0": true, "3.0.0": true, "v2.15.2": true, "2.16.0-beta.1": true, "2.15.2-beta.1": false,
		"2.15.1": false, "2.14.9": false, "1.99.99": false, "": false, "2.15": false, "x.y.z": false,
	} {
		if atLeast(version, oldestServer) != want {
			t.Errorf("%q: want %v", version, want)
		}
	}
}
