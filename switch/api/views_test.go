package api

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
	"github.com/tongma/tongma/clearing/journal"
	switching "github.com/tongma/tongma/switch"
)

func TestEachSeesItsOwnPositions(t *testing.T) {
	b := newBench(t)
	b.answer(b.pay("k1", 1, 1250), 200)
	all := decode[PositionsPage](t, b.ask("operator", "GET", "/v1/positions", ""))
	if len(all.Positions) != 3 {
		t.Fatalf("%+v", all)
	}
	own := decode[PositionsPage](t, b.ask("wallet", "GET", "/v1/positions", ""))
	if len(own.Positions) != 1 || own.Positions[0].Position != "12.50" || own.Positions[0].Available != "87.50" {
		t.Fatalf("%+v", own)
	}
}

func TestAWindowIsClosedAndSettled(t *testing.T) {
	b := withSettler(t, map[tongma.ParticipantID]int64{"wallet": 1250})
	b.answer(b.pay("k1", 1, 1250), 200)
	b.refused(b.ask("acq", "POST", "/v1/windows/close", ""), 403, tongma.NotPermittedHere)
	b.refused(b.ask("operator", "POST", "/v1/windows/1/settle", ""), 409, tongma.WindowNotClosed)
	w := decode[switching.WindowView](t, b.ask("operator", "POST", "/v1/windows/close?window=win_000001", ""))
	if w.Window != "win_000001" || w.State != "closed" || w.ToMove["CNY"] != "12.50" {
		t.Fatalf("%+v", w)
	}
	b.refused(b.ask("operator", "POST", "/v1/windows/close?window=1", ""), 409, tongma.WindowNotOpen)
	w = decode[switching.WindowView](t, b.ask("operator", "POST", "/v1/windows/win_000001/settle", ""))
	if w.State != "settled" || len(w.Instructions) != 0 {
		t.Fatalf("%+v", w)
	}
	if own := decode[PositionsPage](t, b.ask("wallet", "GET", "/v1/positions", "")); own.Positions[0].Position != "0.00" {
		t.Fatalf("%+v", own)
	}
	b.refused(b.ask("operator", "GET", "/v1/windows/99", ""), 404, tongma.WindowUnknown)
	b.refused(b.ask("operator", "GET", "/v1/windows/x", ""), 404, tongma.WindowUnknown)
	if list := decode[WindowsPage](t, b.ask("operator", "GET", "/v1/windows", "")); len(list.Windows) < 2 || list.Windows[0].State != "open" {
		t.Fatalf("%+v", list)
	}
}

func TestAParticipantSeesNothingOfOthersInAWindow(t *testing.T) {
	b := newBench(t)
	b.answer(b.pay("k1", 1, 1250), 200)
	b.ask("operator", "POST", "/v1/windows/close", "")
	w := decode[switching.WindowView](t, b.ask("other", "GET", "/v1/windows/1", ""))
	if len(w.Nets)+len(w.Matrix)+len(w.Instructions)+len(w.Gross)+len(w.ToMove) != 0 || w.Payments != 0 {
		t.Fatalf("%+v", w)
	}
	w = decode[switching.WindowView](t, b.ask("wallet", "GET", "/v1/windows/1", ""))
	if len(w.Nets) != 1 || w.Nets[0].Net != "12.50" || len(w.Matrix) != 1 || len(w.Instructions) != 1 || w.Payments != 1 {
		t.Fatalf("%+v", w)
	}
}

func TestTheJournalIsReadFromAnyEntryWithoutGaps(t *testing.T) {
	b := newBench(t)
	for i := range 20 {
		b.pay("k"+string(rune('a'+i)), i+1, 100)
	}
	b.refused(b.ask("acq", "GET", "/v1/journal", ""), 403, tongma.NotPermittedHere)
	all := decode[JournalPage](t, b.ask("operator", "GET", "/v1/journal?limit=1000", ""))
	if len(all.Lines) < 40 || all.Next != uint64(len(all.Lines))+1 {
		t.Fatalf("%d lines, next %d", len(all.Lines), all.Next)
	}
	for from := uint64(1); from <= all.Next; from++ {
		page, err := b.api.marks.lines(context.Background(), b.store, from, 3)
		if err != nil {
			t.Fatal(err)
		}
		if want := min(3, len(all.Lines)-int(from)+1); len(page) != want {
			t.Fatalf("from %d: %d lines, want %d", from, len(page), want)
		}
		for i, line := range page {
			if want := all.Lines[int(from)-1+i]; line.Entry != from+uint64(i) || line.Hash != want.Hash {
				t.Fatalf("from %d: %+v", from, line)
			}
		}
	}
	if page := decode[JournalPage](t, b.ask("operator", "GET", "/v1/journal?from=4000000000", "")); len(page.Lines) != 0 || page.Next != 4000000000 {
		t.Fatalf("%+v", page)
	}
}

// stream reads server-sent events as name until it ends or the test does.
func (b *bench) stream(name string) (<-chan clearing.Line, context.CancelFunc) {
	b.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r, _ := http.NewRequestWithContext(ctx, "GET", b.url+"/v1/events", nil)
	r.Header.Set("Authorization", "Bearer tok-"+name)
	answer, err := b.client.Do(r)
	if err != nil || answer.StatusCode != 200 || answer.Header.Get("Content-Type") != "text/event-stream" {
		b.t.Fatalf("%v %v", err, answer)
	}
	lines := make(chan clearing.Line, 100)
	in := bufio.NewScanner(answer.Body)
	in.Scan() // the first line comes when the listener is in place
	go func() {
		defer close(lines)
		defer answer.Body.Close()
		for in.Scan() {
			if data, ok := strings.CutPrefix(in.Text(), "data: "); ok {
				var l clearing.Line
				if json.Unmarshal([]byte(data), &l) == nil {
					lines <- l
				}
			}
		}
	}()
	b.t.Cleanup(cancel)
	return lines, cancel
}

func next(t testing.TB, lines <-chan clearing.Line) clearing.Line {
	t.Helper()
	select {
	case l, ok := <-lines:
		if !ok {
			t.Fatal("the stream ended")
		}
		return l
	case <-time.After(5 * time.Second):
		t.Fatal("no event came")
	}
	return clearing.Line{}
}

func TestEventsTellEachPartyOfItsOwn(t *testing.T) {
	b := newBench(t)
	operator, _ := b.stream("operator")
	wallet, _ := b.stream("wallet")
	other, _ := b.stream("other")
	acq, _ := b.stream("acq")
	b.answer(b.pay("k1", 1, 1250), 200)
	for _, kind := range []string{"hold", "post"} {
		if l := next(t, operator); l.Kind != kind || *l.AmountMin != 1250 {
			t.Fatalf("%+v", l)
		}
		if l := next(t, wallet); l.Kind != kind || l.Key != "" || l.CodeTail != "" || l.Hash != "" {
			t.Fatalf("the payer's network learns too much: %+v", l)
		}
		if l := next(t, acq); l.Kind != kind || (kind == "hold" && l.Key != "k1") {
			t.Fatalf("%+v", l)
		}
	}
	b.ask("operator", "POST", "/v1/windows/close", "")
	if l := next(t, other); l.Kind != "close" {
		t.Fatalf("a stranger hears of %+v", l)
	}
}

func TestASlowListenerIsCutOffAndHoldsNobodyUp(t *testing.T) {
	f := NewFeed()
	slow, err := f.join()
	if err != nil {
		t.Fatal(err)
	}
	for i := range feedDepth + 10 {
		f.Committed(uint64(i), make([]clearing.Entry, 1))
	}
	n := 0
	for range slow.batches {
		n++
	}
	if n != feedDepth || f.some.Load() != 0 {
		t.Fatalf("%d batches, %d listeners", n, f.some.Load())
	}
	f.leave(slow) // twice is once
	for range feedMost {
		if _, err := f.join(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := f.join(); tongma.ReasonOf(err) != tongma.Overloaded {
		t.Fatal(err)
	}
	f.Close()
	if _, err := f.join(); tongma.ReasonOf(err) != tongma.ShuttingDown {
		t.Fatal(err)
	}
}

func TestShuttingDownEndsTheStreams(t *testing.T) {
	b := newBench(t)
	lines, _ := b.stream("operator")
	b.api.Close()
	select {
	case _, more := <-lines:
		if more {
			t.Fatal("an event out of nothing")
		}
	case <-time.After(5 * time.Second):
		t.Fatal("the stream goes on")
	}
}

func TestHealthFollowsTheLedgerAndTheChecks(t *testing.T) {
	checks := []Check{{Name: "scheme wechat", OK: true, Optional: true}}
	b := newBench(t, func(c *Config) { c.Ready = func() []Check { return checks } })
	want := func(path string, status int, text string) {
		t.Helper()
		if got := b.ask("", "GET", path, ""); got.status != status || string(got.body) != text {
			t.Fatalf("%s: %d %q", path, got.status, got.body)
		}
	}
	want("/livez", 200, "ok\n")
	want("/readyz", 200, "ok\n")
	checks[0] = Check{Name: "scheme wechat", Optional: true, Detail: "no answer"}
	want("/readyz?verbose", 200, "[+]ledger\n[-]scheme wechat (optional): no answer\ndegraded\n")
	checks[0] = Check{Name: "disk"}
	want("/readyz?verbose", 503, "[+]ledger\n[-]disk\nfailed\n")
	checks = nil
	b.store.Fail(journal.StopBefore)
	b.pay("k1", 1, 100)
	want("/readyz?verbose", 503, "[-]ledger: journal-stopped\nfailed\n")
	want("/livez", 200, "ok\n")
	got := b.ask("", "GET", "/readyz", "", "Accept", "application/json")
	var h Health
	if err := json.Unmarshal(got.body, &h); err != nil || h.Status != "failed" || len(h.Checks) != 1 {
		t.Fatalf("%v %s", err, got.body)
	}
}

func TestFiguresAreReadFromTheBooksAtEachScrape(t *testing.T) {
	extra := prometheus.NewRegistry()
	extra.MustRegister(prometheus.NewCounter(prometheus.CounterOpts{Name: "tongma_test_total", Help: "of the test"}))
	b := newBench(t, func(c *Config) { c.Gatherer = extra })
	b.answer(b.pay("k1", 1, 2500), 200)
	b.answer(b.pay("k2", 2, minorPending), 202)
	b.refused(b.ask("acq", "GET", "/metrics", ""), 403, tongma.NotPermittedHere)
	text := string(b.ask("operator", "GET", "/metrics", "").body)
	for _, line := range []string{`tongma_position_ratio{currency="CNY",participant="wallet"} 0.6503`, "tongma_unknown_outcomes 1", `tongma_net_sum_nonzero{currency="CNY"} 0`,
		`tongma_window_state{state="settled"} 0`, `tongma_build_info{goversion=`, "tongma_ledger_up 1", "tongma_test_total 0",
		`tongma_http_requests_total{operation="pay",status="202"} 1`, `tongma_http_requests_total{operation="metrics",status="403"} 1`} {
		if !strings.Contains(text, line) {
			t.Errorf("no %s in\n%s", line, text)
		}
	}
	b.store.Fail(journal.StopBefore)
	b.pay("k3", 3, 100)
	text = string(b.ask("operator", "GET", "/metrics", "").body)
	if !strings.Contains(text, "tongma_ledger_up 0") || strings.Contains(text, "tongma_position_ratio{") {
		t.Errorf("stale figures:\n%s", text)
	}
}

func TestANetThatDoesNotSumToZeroIsSeen(t *testing.T) {
	good := books{positions: []clearing.Position{{Currency: tongma.CNY, Position: 5}, {Currency: tongma.CNY, Position: -5}}, sheets: []clearing.Sheet{{}}}
	if good.unbalanced()[tongma.CNY] != 0 {
		t.Error("balanced books look broken")
	}
	bad := good
	bad.positions = []clearing.Position{{Currency: tongma.CNY, Position: 5}, {Currency: tongma.CNY, Position: -4}}
	if bad.unbalanced()[tongma.CNY] != 1 {
		t.Error("broken positions pass")
	}
	bad.withAgents = map[tongma.Currency]int64{tongma.CNY: -1}
	if bad.unbalanced()[tongma.CNY] != 0 {
		t.Error("what the agent holds looks like a break")
	}
	bad.sheets = []clearing.Sheet{{}}
	bad.sheets[0].Nets = []clearing.NetFigure{{Currency: tongma.USD, Net: 1}}
	if bad.unbalanced()[tongma.USD] != 1 {
		t.Error("a broken sheet passes")
	}
}

func TestTheCatalogueIsServedWhole(t *testing.T) {
	b := newBench(t)
	list := decode[ReasonList](t, b.ask("", "GET", "/v1/errors", ""))
	if len(list.Errors) != len(tongma.Reasons()) || list.Errors[0].Code != "TM-1001" {
		t.Fatalf("%d rows", len(list.Errors))
	}
}

func TestABrowserOnTheSandboxsMachineNeedsNoToken(t *testing.T) {
	b := newBench(t, func(c *Config) { c.Sandbox = true })
	b.client.Jar, _ = cookiejar.New(nil)
	b.refused(b.ask("", "GET", "/v1/positions", ""), 401, tongma.NotAuthenticated)
	page := b.ask("", "GET", "/", "")
	policy := page.header.Get("Content-Security-Policy")
	if page.status != 200 || !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") || !strings.Contains(policy, "script-src 'sha256-") {
		t.Fatalf("%d %s", page.status, policy)
	}
	me := decode[Whoami](t, b.ask("", "GET", "/v1/whoami", ""))
	if !me.Operator || !me.Sandbox {
		t.Fatalf("%+v", me)
	}
	decode[switching.WindowView](t, b.ask("", "POST", "/v1/windows/close", "", "Origin", b.url, "Sec-Fetch-Site", "same-origin"))
	b.refused(b.ask("", "POST", "/v1/windows/close", "", "Origin", "http://evil.example", "Sec-Fetch-Site", "cross-site"), 403, tongma.NotPermittedHere)
	b.refused(b.ask("", "GET", "/v1/positions", "", "Host", "evil.example"), 401, tongma.NotAuthenticated)
	b.refused(b.ask("", "POST", "/v1/payments", payBody(1, 1), "Idempotency-Key", "k"), 403, tongma.NotPermittedHere)
	if got := b.ask("", "GET", "/metrics", ""); got.status != 200 {
		t.Fatalf("%d", got.status)
	}
}

func TestOutsideOfASandboxThePageGivesNothingAway(t *testing.T) {
	b := newBench(t)
	page := b.ask("", "GET", "/", "")
	if page.status != 200 || page.header.Get("Set-Cookie") != "" || strings.Contains(string(page.body), "/*script*/") || !strings.Contains(string(page.body), `"KWD":3`) {
		t.Fatalf("%d %v", page.status, page.header)
	}
	holdsTogether(t, page)
	w := httptest.NewRecorder()
	WaitingPage(w, nil)
	holdsTogether(t, reply{200, w.Header(), w.Body.Bytes()})
}

// holdsTogether: a page loads nothing from elsewhere, and its policy lets its own parts
// run; every part that its script looks for is there.
func holdsTogether(t *testing.T, page reply) {
	t.Helper()
	for _, m := range regexp.MustCompile(`\$\("([a-z-]+)"\)`).FindAllStringSubmatch(string(page.body), -1) {
		if !strings.Contains(string(page.body), `id="`+m[1]+`"`) {
			t.Errorf("the script looks for %q, which is not there", m[1])
		}
	}
	for _, tag := range []string{"style", "script"} {
		_, rest, _ := strings.Cut(string(page.body), "<"+tag+">")
		text, _, _ := strings.Cut(rest, "</"+tag+">")
		if len(text) < 100 || !strings.Contains(page.header.Get("Content-Security-Policy"), tag+"-src "+hashSource(text)) {
			t.Errorf("the policy does not let the page's own %s run", tag)
		}
	}
	for _, part := range []string{"http://", "https://", "innerHTML", "eval("} {
		if strings.Contains(string(page.body), part) {
			t.Errorf("the page holds %q", part)
		}
	}
}

// TestAWindowThatIsNotSettledIsSeenHoweverOldItIs: not only among the latest.
func TestAWindowThatIsNotSettledIsSeenHoweverOldItIs(t *testing.T) {
	b := newBench(t)
	submit := func(e clearing.Entry) {
		if r, err := b.engine.Ledger().Submit(t.Context(), e); err != nil || !r.Write {
			t.Fatalf("%s: %+v %v", e.Kind, r.Verdict, err)
		}
	}
	b.answer(b.pay("k1", 1, 5_000), 200)
	submit(clearing.Entry{Kind: clearing.KindClose, Window: 1})
	submit(clearing.Entry{Kind: clearing.KindInstruct, Window: 1})
	var last tongma.WindowID
	if err := b.engine.Ledger().Read(t.Context(), func(book *clearing.Book) { last = book.Models()[0].Open }); err != nil {
		t.Fatal(err)
	}
	for w := last; w < last+100; w++ {
		submit(clearing.Entry{Kind: clearing.KindClose, Window: w})
		submit(clearing.Entry{Kind: clearing.KindInstruct, Window: w})
		submit(clearing.Entry{Kind: clearing.KindSettled, Window: w})
	}
	s := decode[Status](t, b.ask("operator", "GET", "/v1/status", ""))
	if s.Windows["collecting"] != 1 || s.Windows["settled"] != 100 {
		t.Errorf("%v", s.Windows)
	}
	if text := string(b.ask("operator", "GET", "/metrics", "").body); !strings.Contains(text, `tongma_legs_due{currency="CNY"`) {
		t.Error("its legs are not counted")
	}
}

// TestStatusSaysWhatWaitsForPeople: a window that is short, and one that has been under way for long.
func TestStatusSaysWhatWaitsForPeople(t *testing.T) {
	b := newBench(t)
	c := &call{API: b.api}
	now := time.Now()
	waits := c.waits([]clearing.Sheet{{Window: 1, State: clearing.WindowInstructed, Progress: clearing.ProgressShort}, {Window: 2, State: clearing.WindowClosed, Progress: clearing.ProgressClosed, ClosedAt: now.Add(-2 * time.Hour).UnixMilli()},
		{Window: 3, State: clearing.WindowInstructed, Progress: clearing.ProgressPaying, ClosedAt: now.UnixMilli()}, {Window: 4}, {Window: 5, Model: "gone", Matrix: []clearing.Obligation{{}}}, {Window: 6, State: clearing.WindowClosed, Linked: 3}}, now)
	if len(waits) != 3 || !strings.HasPrefix(waits[0], "win_000001 is short") || !strings.HasPrefix(waits[1], "win_000002 was closed") || !strings.HasPrefix(waits[2], "win_000005 is of model gone") {
		t.Errorf("%q", waits)
	}
}
