package journal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
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

// startCluster starts three servers that sync always, each a process of its own
// that can be killed, and returns them by name with where clients connect.
func startCluster(t *testing.T) (nodes map[string]*exec.Cmd, urls string) {
	t.Helper()
	ports := freePorts(t, 6)
	dir := t.TempDir()
	nodes = map[string]*exec.Cmd{}
	for i := range 3 {
		name := fmt.Sprint("n", i)
		config := fmt.Sprintf(`
			server_name: %s, listen: "127.0.0.1:%d"
			jetstream { store_dir: %q, sync_interval: always }
			cluster { name: c, listen: "127.0.0.1:%d", routes: [ "nats://127.0.0.1:%d", "nats://127.0.0.1:%d", "nats://127.0.0.1:%d" ] }`,
			name, ports[i], filepath.Join(dir, name), ports[3+i], ports[3], ports[4], ports[5])
		node := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
		node.Env = append(os.Environ(), nodeConfig+"="+config)
		if _, err := node.StdinPipe(); err != nil {
			t.Fatal(err)
		}
		if err := node.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { node.Process.Kill(); node.Wait() })
		nodes[name] = node
		urls += fmt.Sprintf("nats://127.0.0.1:%d,", ports[i])
	}
	return nodes, urls[:len(urls)-1]
}

// nodeConfig is where a child process finds what server to be.
const nodeConfig = "JOURNAL_CLUSTER_NODE"

// beNode is a child process: a server of the cluster, until it is killed or its
// parent ends.
func beNode(t *testing.T, config string) {
	o := &server.Options{}
	if err := o.ProcessConfigString(config); err != nil {
		t.Fatal(err)
	}
	o.NoSigs, o.NoLog = true, true
	s, err := server.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	io.Copy(io.Discard, os.Stdin)
	stopServer(s)
}

func openReplicated(t *testing.T, urls string) (store *JetStream) {
	t.Helper()
	nc, err := nats.Connect(urls, nats.RetryOnFailedConnect(true), nats.ReconnectBufSize(-1), nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	for deadline := time.Now().Add(60 * time.Second); ; time.Sleep(200 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
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

// Three replicas lose the stream's leader in the middle of commits, by kill -9:
// Commit waits for the election, nothing acknowledged is lost and nothing is there
// twice; then another writer takes over.
func TestReplicatedStreamSurvivesItsLeader(t *testing.T) {
	if config := os.Getenv(nodeConfig); config != "" {
		beNode(t, config)
		return
	}
	if testing.Short() {
		t.Skip("elections take up to ten seconds")
	}
	t.Parallel()
	nodes, urls := startCluster(t)
	store := openReplicated(t, urls)
	old, _ := writer(t, store)
	var want []string
	for i := range 200 {
		want = append(want, fmt.Sprint("entry ", i))
		if i == 100 {
			killLeader(t, store, nodes)
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

// killLeader kills the server that leads the stream a moment from now, when the
// caller is in the middle of a commit.
func killLeader(t *testing.T, store *JetStream, nodes map[string]*exec.Cmd) {
	t.Helper()
	info, err := store.stream.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	leader := nodes[info.Cluster.Leader]
	if leader == nil {
		t.Fatalf("leader is %q", info.Cluster.Leader)
	}
	time.AfterFunc(2*time.Millisecond, func() { leader.Process.Kill() })
}
