package cluster

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/tongma/tongma/conformance/crash"
)

// envServer holds the configuration of the server that this process is to be.
const envServer = "CLUSTER_TEST_NATS_SERVER"

const journalStream = "JOURNAL_0"

func TestMain(m *testing.M) {
	if os.Getenv(envServer) != "" {
		if err := serveNATS(os.Getenv(envServer)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(runTests(m))
}

func runTests(m *testing.M) int {
	dir, err := os.MkdirTemp("", "tongma-cluster-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if err := crash.Build(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// serveNATS is a server of the cluster, until whoever started it is gone.
func serveNATS(config string) error {
	o := &server.Options{}
	if err := o.ProcessConfigString(config); err != nil {
		return err
	}
	o.NoSigs, o.NoLog = true, true
	s, err := server.NewServer(o)
	if err != nil {
		return err
	}
	s.Start()
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// server of the cluster. Its routes go through pipes that can be cut.
type natsNode struct {
	name, address string
	config        string
	pipes         []*pipe // its own and those of the others to it

	mu    sync.Mutex // guards child and ended
	child *exec.Cmd
	ended chan struct{}
}

// natsCluster is three of them that sync every message.
type natsCluster struct {
	urls  string
	nodes []*natsNode
	nc    *nats.Conn // in the journal's account
	js    jetstream.JetStream
	each  []jetstream.JetStream // over a connection to each of them and no other
}

// startCluster starts the servers with accounts as the command writes them, and
// returns when they can make a stream. What they advertise to each other leads nowhere:
// a route that a server made by hearsay would pass the pipes by.
func startCluster(t *testing.T, dir, accounts, journalSeed string) *natsCluster {
	t.Helper()
	const n = 3
	addresses := crash.FreePorts(t, 2*n)
	c := &natsCluster{}
	var urls []string
	for i := range n {
		c.nodes = append(c.nodes, &natsNode{name: fmt.Sprintf("n%d", i), address: addresses[i]})
		urls = append(urls, "nats://"+addresses[i])
	}
	c.urls = strings.Join(urls, ",")
	for i, node := range c.nodes {
		var routes []string
		for j, other := range c.nodes {
			if i == j {
				continue
			}
			p := newPipe(t, addresses[n+j])
			node.pipes, other.pipes = append(node.pipes, p), append(other.pipes, p)
			routes = append(routes, fmt.Sprintf("%q", "nats://"+p.address()))
		}
		node.config = fmt.Sprintf(`
			server_name: %s, listen: %q
			jetstream { store_dir: %q, sync_interval: always }
			cluster { name: c, listen: %q, advertise: "127.0.0.1:9", no_advertise: true, routes: [ %s ] }
			%s`, node.name, node.address, filepath.Join(dir, node.name), addresses[n+i], strings.Join(routes, ", "), accounts)
		node.start(t)
	}
	t.Cleanup(func() {
		for _, node := range c.nodes {
			node.kill()
		}
	})
	c.connect(t, journalSeed)
	return c
}

func (n *natsNode) start(t testing.TB) {
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), envServer+"="+n.config)
	child.Stderr = os.Stderr
	if _, err := child.StdinPipe(); err != nil { // it ends with us
		t.Error(err)
		return
	}
	if err := child.Start(); err != nil {
		t.Error(err)
		return
	}
	ended := make(chan struct{})
	go func() { _ = child.Wait(); close(ended) }()
	n.mu.Lock()
	n.child, n.ended = child, ended
	n.mu.Unlock()
}

// kill is kill -9, and waits for the end.
func (n *natsNode) kill() {
	n.mu.Lock()
	child, ended := n.child, n.ended
	n.mu.Unlock()
	if child == nil {
		return
	}
	_ = child.Process.Kill() // it may have ended
	<-ended
}

func (n *natsNode) signal(s syscall.Signal) {
	n.mu.Lock()
	defer n.mu.Unlock()
	_ = n.child.Process.Signal(s)
}

// cut parts a server from the others, which its clients do not see.
func (n *natsNode) cut(off bool) {
	for _, p := range n.pipes {
		p.cut(off)
	}
}

// cutFrom pulls the cable between two servers; the third still reaches both.
func (n *natsNode) cutFrom(other *natsNode, off bool) {
	for _, p := range n.pipes {
		if slices.Contains(other.pipes, p) {
			p.cut(off)
		}
	}
}

func (c *natsCluster) connect(t *testing.T, seed string) {
	t.Helper()
	key, err := nats.NkeyOptionFromSeed(seed)
	if err != nil {
		t.Fatal(err)
	}
	open := func(url string) (*nats.Conn, jetstream.JetStream) {
		nc, err := nats.Connect(url, key, nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond), nats.ReconnectJitter(0, 0),
			nats.Timeout(time.Second), nats.PingInterval(time.Second), nats.IgnoreDiscoveredServers(), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(nc.Close)
		js, err := jetstream.New(nc)
		if err != nil {
			t.Fatal(err)
		}
		return nc, js
	}
	c.nc, c.js = open(c.urls)
	for _, node := range c.nodes {
		_, js := open("nats://" + node.address)
		c.each = append(c.each, js)
	}
	for deadline := time.Now().Add(time.Minute); !c.nc.IsConnected(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("no server lets anybody in")
		}
	}
}

// stream returns how the stream of the journal is spread, or an error while the
// cluster does not know.
func (c *natsCluster) stream(ctx context.Context) (leader string, replicas []*jetstream.PeerInfo, last uint64, err error) {
	return streamAt(ctx, c.js)
}

// streamAt returns what is known of it where js is connected.
func streamAt(ctx context.Context, js jetstream.JetStream) (leader string, replicas []*jetstream.PeerInfo, last uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	s, err := js.Stream(ctx, journalStream)
	if err != nil {
		return "", nil, 0, err
	}
	info := s.CachedInfo()
	if info.Cluster == nil || info.Cluster.Leader == "" {
		return "", nil, 0, fmt.Errorf("no leader")
	}
	return info.Cluster.Leader, info.Cluster.Replicas, info.State.LastSeq, nil
}

func (c *natsCluster) node(name string) *natsNode {
	for _, n := range c.nodes {
		if n.name == name {
			return n
		}
	}
	return nil
}

// whole tells whether every server has a current copy of the journal.
func (c *natsCluster) whole(ctx context.Context) bool {
	_, replicas, _, err := c.stream(ctx)
	if err != nil || len(replicas) != 2 {
		return false
	}
	for _, r := range replicas {
		if !r.Current || r.Offline {
			return false
		}
	}
	return true
}

// pipe carries connections to an address, and can hold back what comes: neither
// side is told, as when a cable is pulled.
type pipe struct {
	listener net.Listener
	to       string
	mu       sync.Mutex // guards off and on
	off      bool
	on       *sync.Cond
}

func newPipe(t *testing.T, to string) *pipe {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &pipe{listener: l, to: to}
	p.on = sync.NewCond(&p.mu)
	go p.accept()
	t.Cleanup(func() { _ = l.Close(); p.cut(false) })
	return p
}

func (p *pipe) address() string { return p.listener.Addr().String() }

func (p *pipe) cut(off bool) {
	p.mu.Lock()
	p.off = off
	p.mu.Unlock()
	p.on.Broadcast()
}

func (p *pipe) accept() {
	for {
		here, err := p.listener.Accept()
		if err != nil {
			return
		}
		go func() {
			defer here.Close()
			p.wait()
			there, err := net.DialTimeout("tcp", p.to, time.Second)
			if err != nil {
				return
			}
			defer there.Close()
			go func() { defer here.Close(); defer there.Close(); p.carry(here, there) }()
			p.carry(there, here)
		}()
	}
}

func (p *pipe) wait() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.off {
		p.on.Wait()
	}
}

func (p *pipe) carry(to, from net.Conn) {
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		p.wait()
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
