//go:build unix

package clearing

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing/journal"
	"go.uber.org/goleak"
)

// The switch that is killed here is another process, and so are its connection,
// its ledger and its lease. A single NATS server runs in this process; those of a
// cluster are processes too, so that one can be killed, which leaves an election
// behind that a server which shuts down in good order spares the others.

const (
	envURLs     = "TONGMA_TEST_WRITER_NATS"
	envReplicas = "TONGMA_TEST_WRITER_REPLICAS"
	envFirst    = "TONGMA_TEST_WRITER_FIRST"
	envServer   = "TONGMA_TEST_NATS_SERVER"
)

func TestMain(m *testing.M) {
	var err error
	switch {
	case os.Getenv(envURLs) != "":
		err = writerProcess()
	case os.Getenv(envServer) != "":
		err = serverProcess()
	default:
		code := m.Run()
		if leak := goleak.Find(); leak != nil && code == 0 { // see beside
			fmt.Println(leak)
			code = 1
		}
		os.Exit(code)
	}
	if err != nil {
		fmt.Println("failed", err)
		os.Exit(1)
	}
}

func wallClock() int64 { return time.Now().UnixMilli() }

// remoteStore opens the journal over a connection of its own.
func remoteStore(urls string, replicas int) (*nats.Conn, journal.Store, error) {
	nc, err := nats.Connect(urls, nats.ReconnectBufSize(-1), nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond))
	if err != nil {
		return nil, nil, err
	}
	for began := time.Now(); ; time.Sleep(100 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		store, err := journal.OpenJetStream(ctx, nc, journal.JetStreamConfig{Stream: "J_0", Subject: "journal.0", Replicas: replicas})
		cancel()
		if err == nil {
			return nc, patient{store}, nil
		}
		if time.Since(began) > time.Minute {
			nc.Close()
			return nil, nil, err
		}
	}
}

// patient asks again when a reading fails before it began: a cluster may not know
// yet, at the server that is asked, of the consumer that another one has just made,
// or may have put it on a server that is dead.
type patient struct{ journal.Store }

func (p patient) Read(ctx context.Context, from uint64, fn func(uint64, []byte) error) error {
	for began := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		read := false
		err := p.Store.Read(ctx, from, func(seq uint64, message []byte) error { read = true; return fn(seq, message) })
		if err == nil || read || ctx.Err() != nil || time.Since(began) > 20*time.Second {
			return err
		}
	}
}

func shardLease(nc *nats.Conn) *Lease { return NewLease(nc, LeaseOptions{Subject: "office.0"}) }

// writerProcess is a switch as far as the books go: it takes office, shows that it
// is there, and has callers pay. It prints each payment when both of its entries
// are acknowledged, and why it stopped if it did.
func writerProcess() error {
	replicas, _ := strconv.Atoi(os.Getenv(envReplicas))
	first, _ := strconv.ParseUint(os.Getenv(envFirst), 10, 64)
	nc, store, err := remoteStore(os.Getenv(envURLs), replicas)
	if err != nil {
		return err
	}
	defer nc.Close()
	l, err := OpenLedger(context.Background(), store, LedgerOptions{Now: wallClock, Confirm: true})
	if err != nil {
		return err
	}
	if _, err := l.Submit(context.Background(), capOf("bank-a", 1<<50)); err != nil {
		return err
	}
	held := later(func() error { return shardLease(nc).Hold(context.Background(), l) })
	var out sync.Mutex // one line at a time
	for caller := range uint64(8) {
		go func() {
			for n := first + caller*1_000_000; l.Err() == nil; n++ {
				id, err := payOnce(l, n)
				if err == nil {
					out.Lock()
					fmt.Println("told", n, id)
					out.Unlock()
				}
				time.Sleep(time.Millisecond)
			}
		}()
	}
	err = <-held
	out.Lock()
	fmt.Println("stopped", tongma.ReasonOf(err))
	return nil
}

// payOnce holds and posts, as a payment with an id of its own under key n.
func payOnce(l *Ledger, n uint64) (tongma.PaymentID, error) {
	e := hold(n, "bank-a", "shop-b", 10)
	e.Payment = tongma.PaymentID(uuid.Must(uuid.NewV7()))
	r, err := l.Submit(context.Background(), e)
	if err != nil {
		return tongma.PaymentID{}, err
	}
	if r.Reason != tongma.NoReason {
		return tongma.PaymentID{}, fmt.Errorf("payment %d: %s", n, r.Reason)
	}
	r, err = l.Submit(context.Background(), Entry{Kind: KindPost, Payment: r.Payment.ID})
	if err == nil && r.Reason != tongma.NoReason {
		err = fmt.Errorf("posting of payment %d: %s", n, r.Reason)
	}
	return r.Payment.ID, err
}

// writer is such a process, seen from outside.
type writer struct {
	child   *exec.Cmd
	ended   chan struct{}
	stopped chan string // what it said when it stopped

	mu   sync.Mutex // guards told
	told map[uint64]string
}

func startWriter(t testing.TB, urls string, replicas int, first uint64) *writer {
	t.Helper()
	w := &writer{child: exec.Command(os.Args[0]), ended: make(chan struct{}), stopped: make(chan string, 1), told: map[uint64]string{}}
	w.child.Env = append(os.Environ(), envURLs+"="+urls, fmt.Sprintf("%s=%d", envReplicas, replicas), fmt.Sprintf("%s=%d", envFirst, first))
	w.child.Stderr = os.Stderr
	out, err := w.child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := w.child.Start(); err != nil {
		t.Fatal(err)
	}
	go w.listen(t, out)
	t.Cleanup(func() { _ = w.child.Process.Kill(); <-w.ended })
	return w
}

func (w *writer) listen(t testing.TB, out io.Reader) {
	defer close(w.ended)
	for lines := bufio.NewScanner(out); lines.Scan(); {
		words := strings.Fields(lines.Text())
		switch {
		case len(words) == 3 && words[0] == "told":
			n, err := strconv.ParseUint(words[1], 10, 64)
			if err != nil {
				t.Error(err)
			}
			w.mu.Lock()
			w.told[n] = words[2]
			w.mu.Unlock()
		case len(words) == 2 && words[0] == "stopped":
			w.stopped <- words[1]
		default:
			t.Errorf("the writer says %q", lines.Text())
		}
	}
	_ = w.child.Wait()
}

func (w *writer) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.told)
}

// busy waits until the writer has acknowledged n payments.
func (w *writer) busy(t testing.TB, n int) {
	t.Helper()
	for began := time.Now(); w.count() < n; time.Sleep(5 * time.Millisecond) {
		if time.Since(began) > time.Minute {
			t.Fatalf("the writer acknowledged %d payments of %d", w.count(), n)
		}
	}
}

// tally holds what writers told against what is stored: every payment that was
// acknowledged is there, posted, under its id; no key was held twice and no
// payment posted twice; nothing of a deposed writer is behind its successor's
// record.
func tally(t testing.TB, store journal.Store, told map[uint64]string) (lost, doubled, behind int) {
	t.Helper()
	holds, posts := map[string]int{}, map[tongma.PaymentID]int{}
	var epoch uint64
	b := NewBook()
	_, err := journal.Open(context.Background(), store, 0, func(batch journal.Batch) error {
		return b.Replay(batch, func(es []Entry) {
			for _, e := range es {
				switch e.Kind {
				case KindHold:
					holds[string(e.Asker)+" "+e.Key]++
				case KindPost:
					posts[e.Payment]++
				}
			}
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range holds {
		doubled += n - 1
	}
	for _, n := range posts {
		doubled += n - 1
	}
	for n, id := range told {
		if p, ok := b.PaymentByKey("shop-b", testID(n).String()); !ok || p.Phase != KindPost || p.ID.String() != id {
			lost++
		}
	}
	if p := b.Positions()[0]; p.Position != int64(10*len(posts)) {
		t.Errorf("%d payments of 10 are posted, the position is %d", len(posts), p.Position)
	}
	err = store.Read(context.Background(), 1, func(_ uint64, message []byte) error {
		m, err := journal.ParseBatch(message)
		if m.Epoch < epoch {
			behind++
		}
		epoch = max(epoch, m.Epoch)
		return err
	})
	if r, auditErr := Audit(context.Background(), store, AuditOptions{}); err != nil || auditErr != nil || !r.OK {
		t.Errorf("%v %v %+v", err, auditErr, r.Findings)
	}
	return lost, doubled, behind
}

// succession is one change of office, from the outside.
type succession struct {
	young  *Ledger
	took   time.Duration // from the blow until an entry of the successor was durable
	told   int           // payments that the deposed writer had acknowledged
	writer *writer
}

// depose starts a writer, lets it work, strikes it, and lets a standby succeed.
func depose(t testing.TB, urls string, replicas int, first uint64, strike func(*writer)) succession {
	t.Helper()
	w := startWriter(t, urls, replicas, first)
	w.busy(t, 100)
	nc, store, err := remoteStore(urls, replicas)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	standby := openStandby(t, store, LedgerOptions{Now: wallClock, Confirm: true})
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	defer cancel()
	type succeeded struct {
		l   *Ledger
		err error
	}
	done := make(chan succeeded, 1)
	go func() { l, err := standby.Succeed(ctx, shardLease(nc)); done <- succeeded{l, err} }()
	more := w.count() + 100
	w.busy(t, more)
	select {
	case in := <-done:
		t.Fatalf("succeeded a living writer: %v", in.err)
	default:
	}
	began := time.Now()
	strike(w)
	in := <-done
	if in.err != nil {
		t.Fatal(in.err)
	}
	t.Cleanup(func() { in.l.Close() })
	if _, err := payOnce(in.l, first+900_000_000); err != nil {
		t.Fatal(err)
	}
	return succession{young: in.l, took: time.Since(began), told: w.count(), writer: w}
}

func (s *succession) check(t testing.TB, urls string, replicas int) {
	t.Helper()
	nc, store, err := remoteStore(urls, replicas)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	s.writer.mu.Lock()
	defer s.writer.mu.Unlock()
	for n, id := range s.writer.told { // whoever asks again is told the same
		if got, err := payOnce(s.young, n); err != nil || got.String() != id {
			t.Fatalf("payment %d asked again: %s %v, it was %s", n, got, err, id)
		}
	}
	lost, doubled, behind := tally(t, store, s.writer.told)
	if lost != 0 || doubled != 0 || behind != 0 {
		t.Errorf("of %d acknowledged %d are lost, %d doubled; %d batches are behind the epoch record", len(s.writer.told), lost, doubled, behind)
	}
	t.Logf("%d acknowledged, lost %d, doubled %d; in office after %v, epoch %d", len(s.writer.told), lost, doubled, s.took.Round(time.Millisecond), s.young.Epoch())
}

func kill(w *writer) {
	_ = w.child.Process.Kill()
	<-w.ended
}

// checkPaused wakes up a writer that was stopped in the middle of its work, behind
// its successor: it must step down, and what it still tells was durable before.
func checkPaused(t testing.TB, s *succession) {
	before := s.writer.count()
	if err := s.writer.child.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	select {
	case why := <-s.writer.stopped:
		if why != tongma.SteppedDown.String() {
			t.Errorf("stopped by %s", why)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("the deposed writer goes on")
	}
	<-s.writer.ended
	t.Logf("woken up, it told %d more, all of which are held against the journal", s.writer.count()-before)
}

func pause(t testing.TB) func(*writer) {
	return func(w *writer) {
		if err := w.child.Process.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
	}
}

// TestASwitchProcessDies on a server that outlives it: killed, and paused past
// its lease.
func TestASwitchProcessDies(t *testing.T) {
	beside(t)
	urls := natsServer(t, 0, t.TempDir()).ClientURL()
	killed := depose(t, urls, 1, 0, kill)
	killed.check(t, urls, 1)
	_ = killed.young.Close()
	paused := depose(t, urls, 1, 1_000_000_000, pause(t))
	checkPaused(t, &paused)
	paused.check(t, urls, 1)
}

// freeAddresses returns addresses that were free a moment ago.
func freeAddresses(t testing.TB, n int) (addrs []string) {
	t.Helper()
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		addrs = append(addrs, l.Addr().String())
	}
	return addrs
}

// serverProcess is a server of a cluster, until the test that started it is gone.
func serverProcess() error {
	o := &server.Options{}
	if err := o.ProcessConfigString(os.Getenv(envServer)); err != nil {
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

// cluster is three servers that sync always.
type cluster struct {
	urls    string
	servers map[string]*exec.Cmd
}

func startCluster(t testing.TB) *cluster {
	t.Helper()
	addrs := freeAddresses(t, 6)
	routes := fmt.Sprintf(`"nats://%s", "nats://%s", "nats://%s"`, addrs[3], addrs[4], addrs[5])
	c := &cluster{urls: "nats://" + strings.Join(addrs[:3], ",nats://"), servers: map[string]*exec.Cmd{}}
	dir := t.TempDir()
	for i := range 3 {
		name := "n" + strconv.Itoa(i)
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), fmt.Sprintf(`%s=server_name: %s, listen: %q, jetstream { store_dir: %q, sync_interval: always },
			cluster { name: c, listen: %q, routes: [ %s ] }`, envServer, name, addrs[i], filepath.Join(dir, name), addrs[3+i], routes))
		child.Stderr = os.Stderr
		if _, err := child.StdinPipe(); err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = child.Process.Kill(); _ = child.Wait() })
		c.servers[name] = child
	}
	for began := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		nc, err := nats.Connect(c.urls)
		if err == nil {
			nc.Close()
			return c
		}
		if time.Since(began) > time.Minute {
			t.Fatal(err)
		}
	}
}

// leader returns the server that leads the journal's stream.
func (c *cluster) leader(t testing.TB) *exec.Cmd {
	t.Helper()
	nc, err := nats.Connect(c.urls)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(t.Context(), "J_0")
	if err != nil {
		t.Fatal(err)
	}
	return c.servers[stream.CachedInfo().Cluster.Leader]
}

// TestASwitchProcessDiesOnACluster of three replicas: killed; paused past its
// lease; and killed together with the server that leads the stream, when it takes
// the election too.
func TestASwitchProcessDiesOnACluster(t *testing.T) {
	if testing.Short() {
		t.Skip("elections take up to ten seconds")
	}
	beside(t)
	c := startCluster(t)
	urls := c.urls
	killed := depose(t, urls, 3, 0, kill)
	killed.check(t, urls, 3)
	_ = killed.young.Close()
	paused := depose(t, urls, 3, 1_000_000_000, pause(t))
	checkPaused(t, &paused)
	paused.check(t, urls, 3)
	_ = paused.young.Close()
	server := c.leader(t)
	machine := depose(t, urls, 3, 2_000_000_000, func(w *writer) {
		_ = server.Process.Kill()
		kill(w)
	})
	machine.check(t, urls, 3)
}

// TestALivingWriterIsDeposed under load, by a standby that wrongly takes it for
// dead, or by an operator: it stops, and nothing is lost.
func TestALivingWriterIsDeposed(t *testing.T) {
	noGoroutines(t)
	urls := natsServer(t, 0, t.TempDir()).ClientURL()
	took, told := deposeLiving(t, urls, 1, 0)
	t.Logf("%d acknowledged; in office after %v", told, took)
}

func deposeLiving(t testing.TB, urls string, replicas int, first uint64) (took time.Duration, told int) {
	w := startWriter(t, urls, replicas, first)
	nc, store, err := remoteStore(urls, replicas)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	w.busy(t, 100)
	standby := openStandby(t, store, LedgerOptions{Now: wallClock})
	caughtUp(t, standby)
	began := time.Now()
	young := takeOver(t, standby)
	took = time.Since(began)
	select {
	case <-w.stopped:
	case <-time.After(30 * time.Second):
		t.Fatal("the deposed writer goes on")
	}
	<-w.ended
	if lost, doubled, behind := tally(t, store, w.told); lost+doubled+behind != 0 {
		t.Errorf("of %d acknowledged %d are lost, %d doubled; %d batches are behind the epoch record", len(w.told), lost, doubled, behind)
	}
	if err := errors.Join(young.Err(), young.Close()); err != nil {
		t.Error(err)
	}
	return took, len(w.told)
}

// BenchmarkTakeOver kills, or deposes alive, one writer process an iteration.
func BenchmarkTakeOver(b *testing.B) {
	for _, replicas := range []int{1, 3} {
		cluster := func(b *testing.B) string {
			if replicas == 1 {
				return natsServer(b, 0, b.TempDir()).ClientURL()
			}
			return startCluster(b).urls
		}
		b.Run(fmt.Sprintf("R%d/killed", replicas), func(b *testing.B) {
			urls := cluster(b)
			benchTakeOver(b, func(i uint64) time.Duration {
				s := depose(b, urls, replicas, i*1_000_000_000, kill)
				if lost, doubled, behind := tallyAt(b, urls, replicas, s.writer.told); lost+doubled+behind != 0 {
					b.Errorf("lost %d, doubled %d, behind %d", lost, doubled, behind)
				}
				_ = s.young.Close()
				return s.took
			})
		})
		b.Run(fmt.Sprintf("R%d/alive", replicas), func(b *testing.B) {
			urls := cluster(b)
			benchTakeOver(b, func(i uint64) time.Duration {
				took, _ := deposeLiving(b, urls, replicas, i*1_000_000_000)
				return took
			})
		})
	}
}

func tallyAt(b *testing.B, urls string, replicas int, told map[uint64]string) (lost, doubled, behind int) {
	nc, store, err := remoteStore(urls, replicas)
	if err != nil {
		b.Fatal(err)
	}
	defer nc.Close()
	return tally(b, store, told)
}

func benchTakeOver(b *testing.B, once func(i uint64) time.Duration) {
	var took []time.Duration
	for i := range uint64(b.N) {
		took = append(took, once(i))
	}
	slices.Sort(took)
	at := func(share float64) float64 { return took[int(share*float64(len(took)-1))].Seconds() * 1000 }
	b.ReportMetric(at(0.5), "p50-ms")
	b.ReportMetric(at(0.99), "p99-ms")
	b.ReportMetric(at(1), "max-ms")
	b.ReportMetric(0, "ns/op")
}
