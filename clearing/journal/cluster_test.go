package journal

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// freePorts returns ports that were free a moment ago.
func freePorts(t *testing.T, n int) []int {
	t.Helper()
	var ports []int
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports
}

// startCluster starts three servers that sync always, and returns them with
// where clients connect.
func startCluster(t *testing.T) ([]*server.Server, string) {
	t.Helper()
	ports := freePorts(t, 6)
	dir := t.TempDir()
	var servers []*server.Server
	urls := ""
	for i := range 3 {
		o := &server.Options{}
		err := o.ProcessConfigString(fmt.Sprintf(`
			server_name: n%d, listen: "127.0.0.1:%d"
			jetstream { store_dir: %q, sync_interval: always }
			cluster { name: c, listen: "127.0.0.1:%d", routes: [ "nats://127.0.0.1:%d", "nats://127.0.0.1:%d", "nats://127.0.0.1:%d" ] }`,
			i, ports[i], filepath.Join(dir, fmt.Sprint(i)), ports[3+i], ports[3], ports[4], ports[5]))
		if err != nil {
			t.Fatal(err)
		}
		o.NoSigs, o.NoLog = true, true
		s, err := server.NewServer(o)
		if err != nil {
			t.Fatal(err)
		}
		s.Start()
		t.Cleanup(func() { stopServer(s) })
		servers = append(servers, s)
		urls += fmt.Sprintf("nats://127.0.0.1:%d,", ports[i])
	}
	for deadline := time.Now().Add(60 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		for _, s := range servers {
			if s.JetStreamIsLeader() {
				return servers, urls[:len(urls)-1]
			}
		}
		if time.Now().After(deadline) {
			t.Fatal("no leader")
		}
	}
}

func openReplicated(t *testing.T, urls string) (store *JetStream) {
	t.Helper()
	nc, err := nats.Connect(urls, nats.ReconnectBufSize(-1), nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	for deadline := time.Now().Add(60 * time.Second); ; time.Sleep(200 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		store, err = OpenJetStream(ctx, nc, JetStreamConfig{Stream: "J_0", Subject: "journal.0", Replicas: 3})
		cancel()
		if err == nil {
			return store
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

// Three replicas lose the stream's leader in the middle of commits: Commit waits
// for the election, nothing acknowledged is lost and nothing is there twice; then
// another writer takes over.
func TestReplicatedStreamSurvivesItsLeader(t *testing.T) {
	if testing.Short() {
		t.Skip("elections take up to ten seconds")
	}
	servers, urls := startCluster(t)
	store := openReplicated(t, urls)
	old, _ := writer(t, store)
	var want []string
	for i := range 200 {
		want = append(want, fmt.Sprint("entry ", i))
		if i == 100 {
			for _, s := range servers {
				if s.JetStreamIsStreamLeader(server.DEFAULT_GLOBAL_ACCOUNT, "J_0") {
					go stopServer(s)
				}
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
		began := time.Now()
		err := old.Commit(ctx, [][]byte{[]byte(want[i])}, 1, 1)
		cancel()
		if err != nil {
			t.Fatalf("entry %d: %v", i, err)
		}
		if took := time.Since(began); took > time.Second {
			t.Logf("entry %d took %v", i, took)
		}
	}
	again := openReplicated(t, urls)
	young, _ := writer(t, again)
	if err := tryCommit(t, old, "zombie"); !errors.Is(err, ErrFenced) {
		t.Fatal(err)
	}
	commit(t, young, "young")
	holds(t, again, append(want, "young")...)
}
