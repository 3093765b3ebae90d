package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/tongma/tongma/clearing/journal"
	"github.com/tongma/tongma/conformance/crash"
	"github.com/tongma/tongma/schemes"
)

// site is two switches on a cluster.
type site struct {
	t        *testing.T
	cluster  *natsCluster
	switches []*sw
	dir      string
	comeback *comeback
}

// sw is one switch, over all its lives.
type sw struct {
	name, data, http string
	args             []string
	p                *crash.Process
}

// newSite prepares the cluster as the documentation says, with the commands that
// it names, and starts two switches with the same settings.
func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{t: t, dir: t.TempDir()}
	directory := filepath.Join(s.dir, "market.yaml")
	if err := os.WriteFile(directory, crash.Hasty(schemes.Sandbox()), 0o600); err != nil {
		t.Fatal(err)
	}
	first, second := filepath.Join(s.dir, "a"), filepath.Join(s.dir, "b")
	accounts := s.must("cluster", "accounts", "--data", first, "--directory", directory)
	s.cluster = startCluster(t, s.dir, accounts, filepath.Join(first, "creds", "journal.nk"))
	s.must("cluster", "credentials", "--data", first, "--out", second)
	ports := crash.FreePorts(t, 2)
	for i, data := range []string{first, second} {
		x := &sw{name: filepath.Base(data), data: data, http: ports[i]}
		x.args = []string{"serve", "--data", data, "--directory", directory, "--sandbox", "--nats", s.cluster.urls, "--standby",
			"--iso8583-listen", "", "--http-listen", x.http, "--log-level", "warn"}
		s.switches = append(s.switches, x)
		x.p = crash.Start(t, x.args...)
	}
	return s
}

func (s *site) must(args ...string) string {
	s.t.Helper()
	out, said, code := crash.Run(s.t, args...)
	if code != 0 {
		s.t.Fatalf("tongma %s: exit %d\n%s", strings.Join(args, " "), code, said)
	}
	return out
}

var httpClient = &http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}

// role is "ok" of the switch in office, "standby", or another word of /readyz.
func (x *sw) role(ctx context.Context) (role string, behind uint64) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+x.http+"/readyz", nil)
	if err != nil {
		return "", 0
	}
	r.Header.Set("Accept", "application/json")
	res, err := httpClient.Do(r)
	if err != nil {
		return "", 0
	}
	defer res.Body.Close()
	var said struct {
		Status     string
		LagBatches uint64 `json:"lag_batches"`
	}
	_ = json.NewDecoder(res.Body).Decode(&said)
	return said.Status, said.LagBatches
}

// roles returns who is in office and who stands by, nil for nobody.
func (s *site) roles(ctx context.Context) (leader, standby *sw) {
	for _, x := range s.switches {
		switch role, behind := x.role(ctx); {
		case role == "ok":
			leader = x
		case role == "standby" && behind < 200:
			standby = x
		}
	}
	return leader, standby
}

// whole waits until one switch is in office, the other stands by close behind it,
// and every server has the journal.
func (s *site) whole(within time.Duration) (leader, standby *sw) {
	s.t.Helper()
	for deadline := time.Now().Add(within); ; time.Sleep(50 * time.Millisecond) {
		for _, x := range s.switches {
			select {
			case <-x.p.Ended:
				s.t.Fatalf("switch %s ended by itself, exit %d:\n%s", x.name, x.p.Cmd.ProcessState.ExitCode(), x.p.Stderr.String())
			default:
			}
		}
		if leader, standby = s.roles(s.t.Context()); leader != nil && standby != nil && s.cluster.whole(s.t.Context()) {
			return leader, standby
		}
		if time.Now().After(deadline) {
			_, replicas, _, err := s.cluster.stream(s.t.Context())
			for _, x := range s.switches {
				role, behind := x.role(s.t.Context())
				s.t.Logf("switch %s: %q, %d batches behind; says:\n%s", x.name, role, behind, x.p.Stderr.String())
			}
			s.t.Fatalf("not whole again after %v: %v %v", within, replicas, err)
		}
	}
}

func (s *site) restart(x *sw) { x.p = crash.Start(s.t, x.args...) }

// fault is one way to break something.
type fault struct {
	name string
	// strike breaks it, and returns what mends it.
	strike func(s *site, leader, standby *sw, rng *rand.Rand) (mend func())
	hits   bool // the one in office: the time until the next yes is a take-over
	most   time.Duration
}

const (
	journalKilled = "JetStream leader killed"
	writerCut     = "the writer's server cut off"
)

var faults = []fault{
	{name: "leader killed", hits: true, most: 4 * time.Second, strike: func(s *site, leader, _ *sw, _ *rand.Rand) func() {
		leader.p.Kill()
		return func() { s.restart(leader) }
	}},
	{name: "leader paused past its lease", hits: true, most: 4 * time.Second, strike: func(s *site, leader, _ *sw, rng *rand.Rand) func() {
		_ = leader.p.Cmd.Process.Signal(syscall.SIGSTOP)
		return func() {
			time.Sleep(time.Duration(rng.IntN(2000)) * time.Millisecond)
			_ = leader.p.Cmd.Process.Signal(syscall.SIGCONT)
		}
	}},
	{name: journalKilled, most: 12 * time.Second, strike: func(s *site, _, _ *sw, rng *rand.Rand) func() {
		return s.killNode(s.leaderNode(), rng)
	}},
	{name: "standby killed", most: 4 * time.Second, strike: func(s *site, _, standby *sw, _ *rand.Rand) func() {
		standby.p.Kill()
		return func() { s.restart(standby) }
	}},
	{name: "server cut off", most: 12 * time.Second, strike: func(s *site, _, _ *sw, rng *rand.Rand) func() {
		node := s.cluster.nodes[rng.IntN(3)]
		node.cut(true)
		return func() { time.Sleep(time.Duration(rng.IntN(3000)) * time.Millisecond); node.cut(false) }
	}},
	{name: writerCut, most: 12 * time.Second, strike: func(s *site, _, _ *sw, rng *rand.Rand) func() {
		node := s.writersNode()
		node.cut(true)
		return func() { time.Sleep(time.Duration(rng.IntN(3000)) * time.Millisecond); node.cut(false) }
	}},
	{name: "one cable of the writer's server pulled", most: 12 * time.Second, strike: func(s *site, _, _ *sw, rng *rand.Rand) func() {
		node := s.writersNode()
		other := s.cluster.nodes[rng.IntN(3)]
		for other == node {
			other = s.cluster.nodes[rng.IntN(3)]
		}
		node.cutFrom(other, true)
		return func() { time.Sleep(time.Duration(rng.IntN(3000)) * time.Millisecond); node.cutFrom(other, false) }
	}},
	{name: "JetStream follower killed", most: 12 * time.Second, strike: func(s *site, _, _ *sw, rng *rand.Rand) func() {
		return s.killNode(s.followerNode(rng), rng)
	}},
	{name: "server paused", most: 12 * time.Second, strike: func(s *site, _, _ *sw, rng *rand.Rand) func() {
		node := s.cluster.nodes[rng.IntN(3)]
		node.signal(syscall.SIGSTOP)
		return func() { time.Sleep(time.Duration(rng.IntN(3000)) * time.Millisecond); node.signal(syscall.SIGCONT) }
	}},
}

func (s *site) killNode(node *natsNode, rng *rand.Rand) func() {
	node.kill()
	return func() { time.Sleep(time.Duration(rng.IntN(1000)) * time.Millisecond); node.start(s.t) }
}

// comeback is how the journal came back after a fault, as anybody sees it who asks
// the cluster.
type comeback struct {
	mu      sync.Mutex // guards what follows
	elected time.Time  // when another server led the stream
	end     uint64     // of the stream, then
	written time.Time  // when there was more
}

// seen takes an answer of the cluster, and tells whether there is no more to see.
func (c *comeback) seen(last uint64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.elected.IsZero():
		c.elected, c.end = time.Now(), last
	case c.written.IsZero() && last > c.end:
		c.written = time.Now()
	}
	return !c.written.IsZero()
}

// after returns how long after a moment each was; 0 for what has not come yet.
func (c *comeback) after(from time.Time) (elected, written time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.elected.IsZero() {
		elected = c.elected.Sub(from)
	}
	if !c.written.IsZero() {
		written = c.written.Sub(from)
	}
	return elected, written
}

// watchElection asks each server again and again who leads the journal's stream and
// how far it goes, for half a minute or until another server than now has taken
// something in.
func (s *site) watchElection() {
	before := s.leaderNode().name
	c := &comeback{}
	s.comeback = c
	ctx, cancel := context.WithDeadline(s.t.Context(), time.Now().Add(30*time.Second))
	ask := func(at jetstream.JetStream) {
		if leader, _, last, err := streamAt(ctx, at); err == nil && leader != before && c.seen(last) {
			cancel()
		}
	}
	go func() {
		defer cancel()
		for ctx.Err() == nil {
			for _, at := range s.cluster.each {
				go ask(at) // a question that nobody answers must not hold up the next
			}
			time.Sleep(20 * time.Millisecond)
		}
	}()
}

func (s *site) leaderNode() *natsNode {
	for {
		if leader, _, _, err := s.cluster.stream(s.t.Context()); err == nil {
			return s.cluster.node(leader)
		}
	}
}

// writersNode is the server that the switch in office is connected to, as it says.
func (s *site) writersNode() *natsNode {
	for s.t.Context().Err() == nil {
		var said struct{ Server string }
		if m, err := s.cluster.nc.Request("tm.office.0.papers", nil, time.Second); err == nil && json.Unmarshal(m.Data, &said) == nil && s.cluster.node(said.Server) != nil {
			return s.cluster.node(said.Server)
		}
	}
	return s.cluster.nodes[0]
}

func (s *site) followerNode(rng *rand.Rand) *natsNode {
	for leader := s.leaderNode(); ; {
		if n := s.cluster.nodes[rng.IntN(3)]; n != leader {
			return n
		}
	}
}

// TestClusterLosesAndDoublesNothing breaks switches and servers one after the
// other while it is paid, and holds everything that the acquirer and the wallets
// saw against the journal.
func TestClusterLosesAndDoublesNothing(t *testing.T) {
	seconds, rate := crash.Environment("CLUSTER_SECONDS", 20), int(crash.Environment("CLUSTER_RATE", 600))
	if testing.Short() {
		seconds = 8
	}
	seed := crash.Environment("CLUSTER_SEED", uint64(time.Now().UnixNano()))
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	begun := time.Now()
	stage := func(format string, args ...any) {
		t.Logf("%6.1f s: %s", time.Since(begun).Seconds(), fmt.Sprintf(format, args...))
	}
	s := newSite(t)
	s.whole(time.Minute)
	stage("whole for the first time")
	m := newMarket(t, s.cluster.urls, filepath.Join(s.switches[0].data, "creds"), seed)
	opened := time.Now()
	shut := m.open(rate)
	<-m.yes.after(time.Now())

	took := map[string][]time.Duration{}
	var elections, writes, firstYes, behind []time.Duration
	chosen := slices.DeleteFunc(slices.Clone(faults), func(f fault) bool { return !strings.Contains(f.name, os.Getenv("CLUSTER_FAULTS")) })
	for round := 0; time.Since(opened) < time.Duration(seconds)*time.Second; round++ {
		f := &chosen[round%len(chosen)]
		if round >= len(chosen) {
			f = &chosen[rng.IntN(len(chosen))]
		}
		leader, standby := s.whole(40 * time.Second)
		time.Sleep(time.Duration(rng.IntN(500)) * time.Millisecond)
		s.watchElection()
		mend := f.strike(s, leader, standby, rng)
		struck := time.Now() // by now it is broken: what was asked for before does not count
		select {
		case <-m.yes.after(struck):
		case <-time.After(time.Minute):
			t.Fatalf("%s: no payment is approved a minute later", f.name)
		}
		took[f.name] = append(took[f.name], m.yes.took())
		elected, written := s.comeback.after(struck)
		for range 20 { // the one who watches may see it later than who is paid
			if written > 0 || elected == 0 {
				break
			}
			time.Sleep(20 * time.Millisecond)
			elected, written = s.comeback.after(struck)
		}
		written = min(written, max(elected, m.yes.took()))
		if elected > 0 && written > 0 {
			elections, writes = append(elections, elected), append(writes, written-elected)
			firstYes, behind = append(firstYes, max(0, m.yes.took()-written)), append(behind, max(0, m.yes.took()-elected))
		}
		stage("%s: paid again after %v (another leader after %v, it writes after %v)", f.name, m.yes.took().Round(time.Millisecond),
			elected.Round(time.Millisecond), written.Round(time.Millisecond))
		if m.yes.took() > f.most {
			t.Errorf("%s: paid again after %v, want %v", f.name, m.yes.took(), f.most)
		}
		mend()
	}
	s.whole(time.Minute)
	lasted := time.Since(opened)
	shut(time.Minute)
	stage("the acquirer knows what became of every payment")
	repeated := m.repeatSome(time.Minute, 10)
	s.settleDown(30 * time.Second)
	stage("nothing is open, %d were asked for again", repeated)
	where := []string{"--data", s.switches[0].data, "--nats", s.cluster.urls}
	a := crash.Audited(t, where...)
	b := crash.Dumped(t, a, where...)
	stage("journal audited and dumped")
	events := m.events(b)
	stage("events are read")
	s.stop()
	stage("both switches have ended")
	v, compared, told := m.judge(b), m.compare(b), b.CompareEvents(t, events)
	if n := b.Unfinished(); n != 0 || a.Open != 0 {
		t.Errorf("%d payments are open, audit says %d", n, a.Open)
	}
	epochs, stale := s.epochs()
	perSecond := float64(v.payments) / lasted.Seconds()
	report(t, took)
	if len(elections) > 0 {
		goal := "within"
		if slices.Max(behind) > time.Second {
			goal = "BEYOND"
		}
		t.Logf("JetStream leader lost (%d times killed, paused or cut off), from then: another is elected after %s", len(elections), spread(elections))
		t.Logf("    from there: the journal takes entries again after %s", spread(writes))
		t.Logf("    from there: the first payment asked for since is approved after %s", spread(firstYes))
		t.Logf("    payments again behind the election: %s; %s the goal of 1 s", spread(behind), goal)
	}
	ends := map[string]int{}
	for _, p := range b.Payments {
		ends[strings.TrimSpace(p.Phase+" "+p.Reason)]++
	}
	t.Logf("how payments ended: %v", ends)
	t.Logf("%d payments in %.0f s, %.0f/s; %d approved; %d questions, %d without a final answer; %d movements compared with wallets, %d events; %d entries in %d batches, %d epochs",
		v.payments, lasted.Seconds(), perSecond, v.approved, m.asked.Load(), m.doubts.Load(), compared, told, a.Entries, a.Batches, epochs)
	t.Logf("lost %d, doubled %d, changed %d, batches of deposed writers in the journal %d (counted by nobody %d), books balanced", v.lost, v.doubled, v.changed, stale, a.Ignored)
	if stale != int(a.Ignored) {
		t.Errorf("%d batches of deposed writers, %d passed over", stale, a.Ignored)
	}
	if perSecond < 0.8*float64(rate) || m.shed.Load() > 0 {
		t.Errorf("asked for %d payments a second, made %.0f (%d not begun)", rate, perSecond, m.shed.Load())
	}
}

// report prints how long each fault kept the market waiting.
func report(t *testing.T, took map[string][]time.Duration) {
	var takeovers []time.Duration
	for _, f := range faults {
		d := took[f.name]
		if len(d) == 0 {
			continue
		}
		if f.hits {
			takeovers = append(takeovers, d...)
		}
		t.Logf("%-29s %3d times; paid again after %s", f.name, len(d), spread(d))
	}
	if len(takeovers) > 0 {
		goal := "within"
		if quantile(takeovers, 0.99) > 2*time.Second {
			goal = "BEYOND"
		}
		t.Logf("take-over of a killed or paused switch: %s; %s the goal of p99 2 s", spread(takeovers), goal)
	}
}

func spread(d []time.Duration) string {
	slices.Sort(d)
	return fmt.Sprintf("p50 %v, p99 %v, max %v", quantile(d, 0.5).Round(time.Millisecond), quantile(d, 0.99).Round(time.Millisecond), d[len(d)-1].Round(time.Millisecond))
}

// quantile of sorted durations.
func quantile(d []time.Duration, q float64) time.Duration {
	slices.Sort(d)
	return d[min(len(d)-1, int(q*float64(len(d))))]
}

// settleDown waits until no amount is held for anybody.
func (s *site) settleDown(within time.Duration) {
	s.t.Helper()
	leader, _ := s.whole(within)
	token, err := os.ReadFile(filepath.Join(leader.data, "creds", "operator.token"))
	if err != nil {
		s.t.Fatal(err)
	}
	var list struct {
		Positions []struct{ Participant, Currency, Reserved string }
	}
	for deadline := time.Now().Add(within); ; time.Sleep(100 * time.Millisecond) {
		r, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, "http://"+leader.http+"/v1/positions", nil)
		if err != nil {
			s.t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
		res, err := httpClient.Do(r)
		if err == nil {
			err = json.NewDecoder(res.Body).Decode(&list)
			res.Body.Close()
		}
		held := slices.ContainsFunc(list.Positions, func(p struct{ Participant, Currency, Reserved string }) bool {
			return strings.Trim(p.Reserved, "0.") != ""
		})
		if err == nil && !held {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("after %v amounts are still held: %v %v", within, list.Positions, err)
		}
	}
}

// stop ends both switches as an operator would, the standby first.
func (s *site) stop() {
	s.t.Helper()
	leader, standby := s.whole(30 * time.Second)
	for _, x := range []*sw{standby, leader} {
		if code := x.p.Terminate(s.t, 30*time.Second); code != 0 {
			s.t.Errorf("SIGTERM of %s: exit %d:\n%s", x.name, code, x.p.Stderr.String())
		}
	}
}

// epochs reads the journal itself, and returns how many take-overs it tells of,
// and how many batches of a writer stand behind the record of its successor.
func (s *site) epochs() (epochs uint64, behind int) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	store, err := journal.OpenJetStream(ctx, s.cluster.nc, journal.JetStreamConfig{Stream: journalStream, Subject: "tm.journal.0", Replicas: 3})
	if err != nil {
		s.t.Fatal(err)
	}
	err = store.Read(ctx, 1, func(_ uint64, message []byte) error {
		b, err := journal.ParseBatch(message)
		if b.Epoch < epochs {
			behind++
		}
		epochs = max(epochs, b.Epoch)
		return err
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return epochs, behind
}
