package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
	"github.com/tongma/tongma/codespec"
	"github.com/tongma/tongma/schemes"
	switching "github.com/tongma/tongma/switch"
)

// demoFlags are what `tongma demo` may be told.
type demoFlags struct {
	once     bool
	payments int
	seed     uint64
	rate     float64
	chaos    bool
	callers  int
	window   time.Duration
}

// eventful tells whether more happens than payments.
func (f *demoFlags) eventful() bool { return !f.once && f.rate > 0 && f.window > 0 }

func newDemoCmd(a *app) *cobra.Command {
	var f demoFlags
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "A whole market in this process: switch, simulated wallets, tills, settlement",
		Example: `  tongma demo                                            live traffic until Ctrl-C
  tongma demo --once --payments 1000 --seed 42 --json    pay, close, net, settle, audit; exit 10 if the books do not balance
  tongma demo --once --chaos --payments 500              with time-outs, duplicates, late answers and a dead adapter
  tongma demo --rate 0 --data market                     no traffic of its own, and keep the data`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.payments < 0 || f.rate < 0 || f.callers < 1 || f.window < 0 {
				return usageError(fmt.Errorf("--payments, --rate and --window cannot be negative, --callers is at least 1"))
			}
			if f.rate == 0 && !cmd.Flags().Changed("window") {
				f.window = 0
			}
			cfg, err := a.settings(cmd)
			if err != nil {
				return err
			}
			return a.demo(cmd.Context(), cfg, f)
		},
	}
	addListenFlags(cmd)
	flags := cmd.Flags()
	for _, name := range []string{"nats-listen", "http-listen", "iso8583-listen"} {
		door := flags.Lookup(name)
		door.Usage = strings.TrimSuffix(door.Usage, "; empty for none") + "; the next free port, if it is in use"
	}
	flags.BoolVar(&f.once, "once", false, "make a number of payments, settle, audit, and end")
	flags.IntVar(&f.payments, "payments", 1000, "how many payments, with --once")
	flags.Uint64Var(&f.seed, "seed", 42, "of everything that chance decides")
	flags.Float64Var(&f.rate, "rate", 20, "payments a second, without --once; 0 makes none")
	flags.BoolVar(&f.chaos, "chaos", false, "time-outs, duplicates, late answers, reversals, refunds and a dead adapter")
	flags.IntVar(&f.callers, "callers", 64, "payments under way at once, with --once")
	flags.DurationVar(&f.window, "window", time.Minute, "how long a clearing window stays open, without --once; 0, and with --rate 0 if it is not given: until it is closed by hand")
	return cmd
}

// demo runs the market until it is told to stop.
func (a *app) demo(ctx context.Context, cfg config, f demoFlags) error {
	err := a.market(ctx, cfg, f)
	if err != nil && ctx.Err() != nil && exitCodeOf(err) != exitBooks {
		return ctx.Err() // interrupted while it was starting: nothing went wrong
	}
	return err
}

func (a *app) market(ctx context.Context, cfg config, f demoFlags) error {
	if cfg.HTTPListen == "" || cfg.ISO8583Listen == "" {
		return failf(exitUsage, "the demo's tills and shops need the HTTP and the ISO 8583 door").then(
			"--http-listen 127.0.0.1:0 --iso8583-listen 127.0.0.1:0 takes any free ports", "a switch without them: tongma serve")
	}
	data := cfg.Data
	if data == "" {
		dir, err := os.MkdirTemp("", "tongma-demo-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		data = dir
	}
	if err := usableFolder(data); err != nil {
		return err
	}
	// The simulated wallets break the rules on purpose: what NATS says of that is
	// no news here.
	quiet := slog.New(slog.DiscardHandler)
	if f.eventful() {
		if err := storyPeople(data); err != nil {
			return err
		}
	}
	budget := shotBudget
	if f.chaos {
		budget = chaosBudget
	}
	n, err := newNode(ctx, nodeConfig{data: data, isoBudget: budget, isoListen: cfg.ISO8583Listen, httpListen: cfg.HTTPListen, natsListen: cfg.NATSListen, nextFree: true,
		directory: schemes.Sandbox(), sandbox: true, logger: quiet})
	if err != nil {
		return err
	}
	defer n.Close()
	sims, err := startSimulators(ctx, n, f.seed)
	if err != nil {
		return err
	}
	defer sims.stop()
	t, err := startTraffic(ctx, n, sims, f.seed, f.chaos)
	if err != nil {
		return err
	}
	defer t.stop()
	if f.once {
		return a.demoOnce(ctx, n, sims, t, f)
	}
	return a.demoLive(ctx, n, sims, t, f, cfg.Data != "")
}

// demoReport is what `tongma demo --once --json` prints.
type demoReport struct {
	Payments  int                          `json:"payments"`
	Approved  int                          `json:"approved"`
	Declined  int                          `json:"declined"`
	Unknown   int                          `json:"unknown"`
	Reversed  int                          `json:"reversed"`
	Windows   int                          `json:"windows"`
	Gross     map[string]string            `json:"gross"`
	Net       map[string]map[string]string `json:"net"`
	NetSum    map[string]string            `json:"net_sum"`
	Journal   demoJournal                  `json:"journal"`
	Audit     string                       `json:"audit"`
	Wallets   string                       `json:"wallets"` // do the wallets' own books agree?
	Seed      uint64                       `json:"seed"`
	PerSecond float64                      `json:"per_second"`
	P50       float64                      `json:"p50_ms"`
	P99       float64                      `json:"p99_ms"`
}

type demoJournal struct {
	Entries  uint64 `json:"entries"`
	Batches  uint64 `json:"batches"`
	Verified bool   `json:"verified"`
}

// demoOnce pays, closes the window, nets, settles and audits.
func (a *app) demoOnce(ctx context.Context, n *node, sims *simulators, t *traffic, f demoFlags) error {
	bar := a.progress("payments", uint64(f.payments))
	results, elapsed := t.burst(ctx, f, func(n int) { bar.at(uint64(n)) })
	bar.end()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err := settleDown(ctx, n, 90*time.Second); err != nil {
		return err
	}
	r := demoReport{Payments: f.payments, Seed: f.seed, Gross: map[string]string{}, Net: map[string]map[string]string{}, NetSum: map[string]string{}}
	if err := r.count(ctx, n, results); err != nil {
		return err
	}
	if err := r.settle(ctx, n); err != nil {
		return err
	}
	audit, err := clearing.Audit(ctx, n.store, clearing.AuditOptions{})
	if err != nil {
		return &exitError{code: exitBooks, err: err}
	}
	r.Audit, r.Journal = "ok", demoJournal{audit.Entries, audit.Batches, audit.OK}
	if !audit.OK {
		r.Audit = "failed"
	}
	bad, err := sims.disagreements(ctx)
	if err != nil {
		return err
	}
	if r.Wallets = "agree"; bad > 0 {
		r.Wallets = fmt.Sprintf("%d disagree", bad)
	}
	took := make([]time.Duration, 0, len(results))
	for _, x := range results {
		took = append(took, x.took)
	}
	r.PerSecond, r.P50, r.P99 = float64(int(float64(f.payments)/elapsed.Seconds()*10))/10, quantile(took, 0.5), quantile(took, 0.99)
	a.print(r, r.human)
	if !r.balanced() {
		return &exitError{code: exitBooks}
	}
	return nil
}

func (r *demoReport) balanced() bool {
	for c, sum := range r.NetSum {
		currency, _ := tongma.CurrencyByCode(c)
		if sum != (tongma.Money{Currency: currency}).Decimal() {
			return false
		}
	}
	return r.Audit == "ok" && r.Journal.Verified && r.Unknown == 0 && r.Wallets == "agree" && r.Approved+r.Declined+r.Reversed == r.Payments
}

func (r *demoReport) human(w io.Writer) {
	fmt.Fprintf(w, "payments   %d: %d approved, %d declined, %d reversed, %d unknown\n", r.Payments, r.Approved, r.Declined, r.Reversed, r.Unknown)
	fmt.Fprintf(w, "speed      %.1f a second, p50 %.1f ms, p99 %.1f ms\n", r.PerSecond, r.P50, r.P99)
	for _, c := range sortedKeys(r.Gross) {
		fmt.Fprintf(w, "cleared    %s %s, net positions sum to %s\n", r.Gross[c], c, r.NetSum[c])
	}
	fmt.Fprintf(w, "windows    %d closed, netted and settled\n", r.Windows)
	fmt.Fprintf(w, "journal    %d entries in %d batches, chain verified: %v\n", r.Journal.Entries, r.Journal.Batches, r.Journal.Verified)
	fmt.Fprintf(w, "audit      %s; the wallets' own books: %s\n", r.Audit, r.Wallets)
}

// count reads in the books what became of each payment.
func (r *demoReport) count(ctx context.Context, n *node, results []shotResult) error {
	return n.engine.Ledger().Read(ctx, func(b *clearing.Book) {
		for _, x := range results {
			p, ok := b.Payment(x.payment)
			if !ok {
				p, ok = b.PaymentByKey(x.asker, x.key)
			}
			switch {
			case !ok: // it never reached the books, and never will: nothing moved
				r.Declined++
			case !p.Final():
				r.Unknown++
			case p.Phase == clearing.KindPost:
				r.Approved++
			case p.Phase == clearing.KindReversed, p.Phase == clearing.KindTombstone:
				r.Reversed++
			default:
				r.Declined++
			}
		}
	})
}

// settle closes the open windows, and settles every window that is not settled
// yet. Its figures are those of the windows that it settled.
func (r *demoReport) settle(ctx context.Context, n *node) error {
	if err := n.closeAll(ctx); err != nil {
		return err
	}
	sheets, err := n.settleAll(ctx)
	if err != nil {
		return err
	}
	gross, net, sum := map[tongma.Currency]int64{}, map[tongma.ParticipantID]map[tongma.Currency]int64{}, map[tongma.Currency]int64{}
	for _, s := range sheets {
		for _, t := range s.Totals {
			gross[t.Currency] += t.Gross
		}
		for _, f := range s.Nets {
			if net[f.Participant] == nil {
				net[f.Participant] = map[tongma.Currency]int64{}
			}
			net[f.Participant][f.Currency] += f.Net
			sum[f.Currency] += f.Net
		}
	}
	r.Windows = len(sheets)
	for c, minor := range gross {
		r.Gross[c.Code()] = tongma.Money{Minor: minor, Currency: c}.Decimal()
		r.NetSum[c.Code()] = tongma.Money{Minor: sum[c], Currency: c}.Decimal()
	}
	for p, figures := range net {
		r.Net[string(p)] = map[string]string{}
		for c, minor := range figures {
			r.Net[string(p)][c.Code()] = tongma.Money{Minor: minor, Currency: c}.Decimal()
		}
	}
	return nil
}

// burst makes f.payments payments, f.callers at once. In chaos one participant's
// adapter dies on the way and comes back.
func (t *traffic) burst(ctx context.Context, f demoFlags, progress func(int)) ([]shotResult, time.Duration) {
	results := make([]shotResult, f.payments)
	shots := make(chan int)
	var wg sync.WaitGroup
	start := time.Now()
	for range min(f.callers, max(1, f.payments)) {
		wg.Go(func() {
			for i := range shots {
				results[i] = t.fire(ctx, t.next())
			}
		})
	}
	for i := range f.payments {
		if f.chaos && i == f.payments/3 {
			wg.Go(func() { t.deadAdapter(ctx) })
		}
		select {
		case shots <- i:
			progress(i + 1)
		case <-ctx.Done():
			close(shots)
			wg.Wait()
			return results, time.Since(start)
		}
	}
	close(shots)
	wg.Wait()
	return results, time.Since(start)
}

// deadAdapter crashes UnionPay's adapter for a while.
func (t *traffic) deadAdapter(ctx context.Context) {
	t.sims.kill("unionnet")
	select {
	case <-time.After(1500 * time.Millisecond):
	case <-ctx.Done():
	}
	if err := t.sims.start(ctx, "unionnet"); err != nil {
		t.node.cfg.logger.Error("the adapter does not come back", "err", err)
	}
}

// settleDown waits until no payment is open any more.
func settleDown(ctx context.Context, n *node, within time.Duration) error {
	deadline := time.Now().Add(within)
	for {
		open := 0
		if err := n.engine.Ledger().Read(ctx, func(b *clearing.Book) { open = b.Unfinished() }); err != nil {
			return err
		}
		if open == 0 || time.Now().After(deadline) {
			return nil
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// demoLive makes payments at a steady rate until it is interrupted, closing and
// settling windows on the way.
func (a *app) demoLive(ctx context.Context, n *node, sims *simulators, t *traffic, f demoFlags, kept bool) error {
	a.banner(n, f, kept)
	feed := &liveFeed{app: a}
	var turn <-chan time.Time
	if f.window > 0 {
		ticker := time.NewTicker(f.window)
		defer ticker.Stop()
		turn = ticker.C
	}
	var tick <-chan time.Time
	if f.rate > 0 {
		ticker := time.NewTicker(time.Duration(float64(time.Second) / f.rate))
		defer ticker.Stop()
		tick = ticker.C
	}
	tale := &story{app: a, node: n, rate: f.rate, window: f.window}
	var early <-chan time.Time
	if f.eventful() {
		tale.told(tale.begin(ctx))
		early = time.After(storyEarly)
	}
	var wg sync.WaitGroup
	room := make(chan struct{}, 512)
	for {
		select {
		case <-tick:
			select {
			case room <- struct{}{}:
				wg.Go(func() {
					s := t.next()
					feed.show(s, t.fire(context.WithoutCancel(ctx), s))
					<-room
				})
			default: // the market is slower than the tills: those who wait are enough
			}
		case <-early:
			tale.told(tale.dispute(ctx))
		case <-turn:
			if f.eventful() {
				tale.told(tale.turning(ctx))
			}
			a.turnWindows(ctx, n)
			if f.eventful() {
				tale.told(tale.turned(ctx))
			}
		case <-n.engine.Ledger().Stopped():
			return stoppedError(n.engine.Ledger().Err())
		case <-ctx.Done():
			a.say("\nstopping: waiting for what is under way")
			wg.Wait()
			return a.lastWords(n, sims)
		}
	}
}

// turnWindows closes and settles what is open, and says what there was in it.
func (a *app) turnWindows(ctx context.Context, n *node) {
	err := n.closeAll(ctx)
	sheets, fault := n.settleAll(ctx)
	for _, s := range sheets {
		if v := switching.ViewWindow(s); v.Payments > 0 {
			a.say("%s  %s closed, netted and settled: %s, gross %s; %s moved", time.Now().Format("15:04:05"), v.Window, counted(v.Payments, "payment"), sums(v.Gross), sums(v.ToMove))
		}
	}
	if err = errors.Join(err, fault); err != nil {
		a.say("not settled: %v", err)
	}
}

// lastWords shows how the books stand at the end.
func (a *app) lastWords(n *node, sims *simulators) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := settleDown(ctx, n, 20*time.Second); err != nil {
		return err
	}
	audit, err := clearing.Audit(ctx, n.store, clearing.AuditOptions{})
	if err != nil {
		return &exitError{code: exitBooks, err: err}
	}
	bad, err := sims.disagreements(ctx)
	if err != nil {
		return err
	}
	a.print(audit, func(w io.Writer) {
		p := audit.Payments
		fmt.Fprintf(w, "payments   %d approved, %d declined, %d reversed, %d open\n", p.Posted, p.Refused+p.Voided, p.Reversed+p.Tombstones, p.Held+p.Pending+p.Reversing)
		fmt.Fprintf(w, "journal    %d entries in %d batches; audit ok: %v; movements on which a wallet disagrees: %d\n", audit.Entries, audit.Batches, audit.OK, bad)
	})
	if !audit.OK || bad > 0 {
		return &exitError{code: exitBooks}
	}
	return nil
}

// banner says what is running, and what to type next.
func (a *app) banner(n *node, f demoFlags, kept bool) {
	where := "in " + n.cfg.data + ", kept"
	if !kept {
		where = "in a temporary folder, gone on exit (keep it with --data DIR)"
	}
	a.say("tongma %s · SANDBOX, not for production · everything in this process, data %s\n", buildVersion(), where)
	a.say("  console     http://%s\n  HTTP API    http://%s/v1     OpenAPI at /v1/openapi.json", n.httpAddr, n.httpAddr)
	a.say("  NATS        %s     keys in %s/creds\n  ISO 8583    %s           DE32 %s\n", n.natsURL, n.cfg.data, n.isoAddr, sandboxDE32)
	ids := ""
	for _, s := range n.registry.Current().Schemes() {
		ids += " " + string(s.ID)
	}
	closes := "windows are closed by hand"
	if f.window > 0 {
		closes = "a window closes every " + f.window.String()
	}
	a.say("  schemes    %s (simulated)\n  traffic     %g payments a second, seed %d; %s\n", ids, f.rate, f.seed, closes)
	kind := ""
	if f.eventful() {
		kind = "Within five minutes: disputes, a wallet near its cap, and a bank that refuses to pay.\n"
	}
	a.say("%sNext:  open http://%s\n       export TONGMA_DATA=%s\n       tongma status\n       tongma position ls\n       tongma window show 1\n       tongma sandbox codes\nCtrl-C stops and shows the books.\n", kind, n.httpAddr, n.cfg.data)
}

// liveFeed shows payments as they end: for people at most four a second, so that
// they can be read; with --json every one.
type liveFeed struct {
	app  *app
	mu   sync.Mutex // guards what follows, and the order of lines
	last time.Time
	made int
}

// livePayment is one line of the feed.
type livePayment struct {
	Time    string `json:"time"`
	Door    string `json:"door"`
	Asker   string `json:"asker"`
	Scheme  string `json:"scheme"`
	Code    string `json:"code"` // its last four characters
	Amount  string `json:"amount"`
	Payment string `json:"payment,omitempty"`
	Status  string `json:"status"`
	Millis  int64  `json:"ms"`
}

func (l *liveFeed) show(s shot, r shotResult) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.made++
	now := time.Now()
	if !l.app.json && now.Sub(l.last) < 250*time.Millisecond {
		return
	}
	l.last = now
	code, _ := codespec.Decode(s.code) // made by this program
	p := livePayment{Time: now.Format("15:04:05"), Door: s.door, Asker: string(s.asker), Code: code.Masked(), Amount: s.amount.String(),
		Payment: r.payment.String(), Status: r.status.String(), Millis: r.took.Milliseconds()}
	if names := code.Schemes(); len(names) > 0 {
		p.Scheme = names[0]
	}
	if r.err != nil {
		p.Status = tongma.ReasonOf(r.err).String()
	}
	l.app.print(p, func(w io.Writer) {
		fmt.Fprintf(w, "%s  %-8s  %-12s  %-9s  %-6s  %16s  %-9s %4d ms   %6d so far\n", p.Time, p.Door, p.Asker, p.Scheme, p.Code, p.Amount, p.Status, p.Millis, l.made)
	})
}
