package shards

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/adapters/native"
	"github.com/tongma/tongma/adapters/scripted"
	"github.com/tongma/tongma/clearing"
	"github.com/tongma/tongma/conformance/crash"
	"github.com/tongma/tongma/schemes"
)

// envServer holds the configuration of the server that this process is to be.
const envServer = "SHARDS_TEST_NATS_SERVER"

const harbour = tongma.ParticipantID("acq-harbour")

func TestMain(m *testing.M) {
	if os.Getenv(envServer) != "" {
		if err := serveNATS(os.Getenv(envServer)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	dir, err := os.MkdirTemp("", "tongma-shards-")
	if err == nil {
		err = crash.Build(dir)
	}
	code := 1
	if err == nil {
		code = m.Run()
	} else {
		fmt.Fprintln(os.Stderr, err)
	}
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// serveNATS is the server, until whoever started it is gone.
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

// stage is a NATS server, some shards as processes, the wallets and one acquirer.
type stage struct {
	t         *testing.T
	of        int // shards that writers are started for
	dir, url  string
	directory string
	folders   []string         // of the shards' writers
	http      []string         // their doors
	procs     []*crash.Process // and themselves
	clients   *native.Client
}

func (s *stage) must(args ...string) string {
	s.t.Helper()
	stdout, stderr, code := crash.Run(s.t, args...)
	if code != 0 {
		s.t.Fatalf("%v: exit %d\n%s%s", args, code, stdout, stderr)
	}
	return stdout
}

func (s *stage) data(shard int) string { return s.folders[shard] }

func set(t *testing.T) *stage { return setOf(t, 3) }

// setOf begins with so many shards; one more has its folder and port.
func setOf(t *testing.T, of int) *stage {
	s := &stage{t: t, of: of, dir: t.TempDir(), procs: make([]*crash.Process, of+2)}
	for shard := range of + 2 {
		s.folders = append(s.folders, filepath.Join(s.dir, fmt.Sprintf("shard-%d", shard)))
	}
	s.directory = filepath.Join(s.dir, "market.yaml")
	source := crash.Hasty(schemes.Sandbox())
	if err := os.WriteFile(s.directory, source, 0o600); err != nil {
		t.Fatal(err)
	}
	accounts := s.must("cluster", "accounts", "--data", s.data(1), "--directory", s.directory)
	for shard := 2; shard <= of+1; shard++ {
		s.must("cluster", "credentials", "--data", s.data(1), "--out", s.data(shard))
	}
	ports := crash.FreePorts(t, of+2)
	s.url, s.http = "nats://"+ports[0], ports
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), envServer+"="+fmt.Sprintf("listen: %q\njetstream { store_dir: %q, sync_interval: always }\n%s", ports[0], filepath.Join(s.dir, "nats"), accounts))
	stdin, err := child.StdinPipe()
	if err == nil {
		err = child.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = stdin.Close(); _ = child.Wait() })
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		c, err := net.Dial("tcp", ports[0])
		if err == nil {
			_ = c.Close()
			break
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
	for shard := 1; shard <= of; shard++ {
		s.start(shard)
	}
	d, err := schemes.Parse(1, source)
	if err != nil {
		t.Fatal(err)
	}
	wallets := map[tongma.ParticipantID]*scripted.Wallet{}
	for _, scheme := range d.Schemes() {
		w := wallets[scheme.Participant]
		if w == nil {
			if w, err = scripted.New(scripted.Config{Default: scripted.Approve, Late: 50 * time.Millisecond, Confirm: 100 * time.Millisecond}); err != nil {
				t.Fatal(err)
			}
			wallets[scheme.Participant] = w
			t.Cleanup(func() { _ = w.Close() })
		}
		svc, err := native.Serve(t.Context(), s.connect(scheme.Participant), native.ServiceConfig{Scheme: scheme.ID, Version: "1.0.0", Workers: 64, Queue: 1024, Log: slog.New(slog.DiscardHandler), Copies: w.Copies}, w)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = svc.Stop() })
	}
	if s.clients, err = native.NewClient(s.connect(harbour), harbour); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.clients.Close)
	return s
}

func (s *stage) connect(p tongma.ParticipantID) *nats.Conn {
	s.t.Helper()
	seed, err := nats.NkeyOptionFromSeed(filepath.Join(s.data(1), "creds", string(p)+".nk"))
	if err != nil {
		s.t.Fatal(err)
	}
	nc, err := nats.Connect(s.url, append(native.ConnectOptions("shards-"+string(p), tongma.InboxPrefix(p)), seed, nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))...)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(nc.Close)
	return nc
}

func (s *stage) start(shard int) {
	s.t.Helper()
	s.procs[shard], s.http[shard] = s.serve("ok", shard, s.data(shard), s.http[shard])
}

// serve runs a writer of a shard, or one to come, until it is what it is to be. A port
// that was free may be some connection's by the time it is listened on: then another is taken.
func (s *stage) serve(role string, shard int, data, address string, more ...string) (*crash.Process, string) {
	s.t.Helper()
	for {
		p := s.launch(shard, data, address, more...)
		if s.becomes(role, address, p) {
			return p, address
		}
		address = crash.FreePorts(s.t, 1)[0]
	}
}

func (s *stage) launch(shard int, data, address string, more ...string) *crash.Process {
	return crash.Start(s.t, append([]string{"serve", "--data", data, "--directory", s.directory, "--sandbox", "--nats", s.url, "--shard", fmt.Sprintf("%d/%d", shard, s.of),
		"--iso8583-listen", "", "--http-listen", address, "--log-level", "warn"}, more...)...)
}

// becomes waits until a switch is in office ("ok") or stands by ("standby"). It is false
// if somebody else has its port.
func (s *stage) becomes(role, address string, p *crash.Process) bool {
	s.t.Helper()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		said := struct{ Status string }{}
		r, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, "http://"+address+"/readyz", nil)
		if err != nil {
			s.t.Fatal(err)
		}
		r.Header.Set("Accept", "application/json")
		resp, err := http.DefaultClient.Do(r)
		if err == nil {
			_ = json.NewDecoder(resp.Body).Decode(&said)
			_ = resp.Body.Close()
		}
		if said.Status == role {
			return true
		}
		select {
		case <-p.Ended:
			if strings.Contains(p.Stderr.String(), "address already in use") {
				return false
			}
			s.t.Fatalf("%s has ended:\n%s", address, p.Stderr.String())
		default:
		}
		if time.Now().After(end) {
			s.t.Fatalf("%s is %q, not %s: %v\n%s", address, said.Status, role, err, p.Stderr.String())
		}
	}
}

// ask asks a shard's HTTP door as the operator.
func (s *stage) ask(shard int, method, path string, body any, into any) error {
	token, err := os.ReadFile(filepath.Join(s.data(shard), "creds", "operator.token"))
	if err != nil {
		return err
	}
	data, _ := json.Marshal(body)
	req, err := http.NewRequest(method, "http://"+s.http[shard]+path, bytes.NewReader(data))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, _ := io.ReadAll(resp.Body)
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("%s %s: %d %s", method, path, resp.StatusCode, answer)
	}
	return json.Unmarshal(answer, into)
}

// order is a payment, and what its acquirer was told last.
type order struct {
	key, code string
	minor     int64
	payment   tongma.PaymentID
	status    tongma.Status
}

// settle asks for a payment, again and again under its key, until it is known what
// became of it.
func (s *stage) settle(ctx context.Context, o *order, doubts *atomic.Int64) {
	for ctx.Err() == nil {
		asking, cancel := context.WithTimeout(ctx, 3*time.Second)
		a, err := s.clients.Pay(asking, tongma.Request{Key: o.key, Code: o.code, Amount: tongma.Money{Minor: o.minor, Currency: tongma.CNY}, Merchant: tongma.Merchant{ID: "m1"}, Budget: 2 * time.Second})
		cancel()
		if err == nil && a.Status.Final() {
			o.payment, o.status = a.Payment, a.Status
			return
		}
		doubts.Add(1)
		time.Sleep(50 * time.Millisecond)
	}
}

// traffic pays at all doors until end is called, which returns what was paid.
func (s *stage) traffic() (end func() []*order) {
	var orders []*order
	var mu sync.Mutex
	var stop atomic.Bool
	var doubts atomic.Int64
	var wg sync.WaitGroup
	ctx, cancel := context.WithTimeout(s.t.Context(), 90*time.Second)
	styles := []scripted.Style{scripted.WeChat, scripted.Alipay, scripted.UnionPay}
	var serial atomic.Uint64
	for range 12 {
		wg.Go(func() {
			for !stop.Load() {
				n := serial.Add(1)
				code, err := scripted.Code(styles[n%3], "", scripted.Approve, n)
				if err != nil {
					s.t.Error(err)
					return
				}
				o := &order{key: fmt.Sprint("k-", n), code: code, minor: 1 + int64(n%97)}
				mu.Lock()
				orders = append(orders, o)
				mu.Unlock()
				s.settle(ctx, o, &doubts)
			}
		})
	}
	end = func() []*order {
		stop.Store(true)
		wg.Wait()
		cancel()
		s.t.Logf("%d payments, %d asked again", len(orders), doubts.Load())
		return orders
	}
	s.t.Cleanup(func() { stop.Store(true); cancel(); wg.Wait() })
	return end
}

// TestThreeShardsAreOneSwitch: under traffic at all doors one shard is killed in the
// middle of a close and one in the middle of a move. At the end nothing that was
// acknowledged is lost or doubled, the head's nets are those of the answers, and the
// books of each journal balance, and all together.
func TestThreeShardsAreOneSwitch(t *testing.T) {
	s := set(t)
	end := s.traffic()
	time.Sleep(2 * time.Second)
	// A close, and a shard killed in the middle of it.
	var closed struct{ Window string }
	go func() { time.Sleep(5 * time.Millisecond); s.procs[3].Kill() }()
	if err := s.ask(1, "POST", "/v1/windows/close", struct{}{}, &closed); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Second)
	s.start(3)
	// A move, and the shard that lets go killed in the middle of it.
	home := clearing.HomeOf("wechatpay", 3)
	to := home%3 + 1
	door := 1
	for uint16(door) == home {
		door++
	}
	go func() { time.Sleep(8 * time.Millisecond); s.procs[home].Kill() }()
	_ = s.ask(door, "POST", "/v1/participants/wechatpay/move", map[string]any{"to": to}, &struct{}{}) // it may be cut off
	time.Sleep(time.Second)
	s.start(int(home))
	s.arrives(door, "wechatpay", int(to))
	time.Sleep(time.Second)
	s.compare(end())
	t.Logf("the close was %s", closed.Window)
}

// compare holds the answers against the books, when all is quiet.
func (s *stage) compare(orders []*order) {
	t := s.t
	t.Helper()
	paid, seen := map[string]int64{}, map[tongma.PaymentID]bool{}
	for _, o := range orders {
		switch {
		case o.status == tongma.Pending || o.payment.IsZero():
			t.Fatalf("it is not known what became of %s", o.key)
		case o.status != tongma.Paid:
			continue
		case seen[o.payment]:
			t.Fatalf("%s was paid by the payment of another", o.key)
		}
		seen[o.payment] = true
		paid[string(harbour)] -= o.minor
	}
	var last struct{ Window string }
	if err := s.ask(1, "POST", "/v1/windows/close", struct{}{}, &last); err != nil {
		t.Fatal(err)
	}
	var report clearing.ShardsReport
	nets := map[string]int64{}
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(500 * time.Millisecond) {
		report = clearing.ShardsReport{} // what is left out must not stay
		text, stderr, code := crash.Run(t, "audit", "--json", "--data", s.data(1), "--nats", s.url, "--shards", fmt.Sprint(s.of))
		if err := json.Unmarshal([]byte(text), &report); err != nil {
			t.Fatalf("exit %d: %v %s", code, err, stderr)
		}
		clear(nets)
		for _, w := range report.Shards[0].Windows {
			for _, n := range w.Nets {
				nets[n.Participant+n.Currency] += n.Net
			}
		}
		odd := ""
		for _, p := range report.Positions {
			if p.Reserved != 0 || p.Position != nets[p.Participant+p.Currency] {
				odd = fmt.Sprintf("%+v: the head's windows say %d", p, nets[p.Participant+p.Currency])
			}
		}
		if report.OK && len(report.UnderWay) == 0 && odd == "" {
			break
		}
		if time.Now().After(end) {
			for i, shard := range report.Shards {
				t.Logf("shard %d: %+v", i+1, shard.Findings)
			}
			t.Fatalf("never quiet: %+v, %+v, %s", report.Findings, report.UnderWay, odd)
		}
	}
	posted := int64(0)
	for i, shard := range report.Shards {
		posted += shard.Payments.Posted
		t.Logf("shard %d: %d entries, %d payments posted, %d windows", i+1, shard.Entries, shard.Payments.Posted, len(shard.Windows))
	}
	if int(posted) != len(seen) {
		t.Errorf("%d payments were answered with yes, %d are posted", len(seen), posted)
	}
	owed, got := paid[string(harbour)], nets[string(harbour)+"CNY"]
	if got < owed || got > owed+fees(report) {
		t.Errorf("the head's windows owe %s %d, the answers say %d before fees", harbour, got, owed)
	}
}

func fees(r clearing.ShardsReport) (sum int64) {
	for _, s := range r.Shards {
		for _, total := range s.Totals {
			sum += total.Fees
		}
	}
	return sum
}
