package api

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"path"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
	"github.com/tongma/tongma/schemes/calendar"
	"github.com/tongma/tongma/switch/office"
	"github.com/tongma/tongma/switch/settle"
)

// till is a settlement agent that has so much of each participant's money.
type till struct {
	mu   sync.Mutex
	has  map[tongma.ParticipantID]int64
	done map[string]settle.Word
}

func (a *till) Move(_ context.Context, t settle.Transfer) settle.Word {
	a.mu.Lock()
	defer a.mu.Unlock()
	if w, known := a.done[t.ID]; known {
		return w
	}
	w := settle.Word{Outcome: settle.Rejected, Text: "no funds"}
	if t.Debtor == "" || a.has[t.Debtor] >= t.Amount.Minor {
		a.has[t.Debtor] -= t.Amount.Minor
		w = settle.Word{Outcome: settle.Settled, Amount: t.Amount}
	}
	a.done[t.ID] = w
	return w
}

func (a *till) Ask(_ context.Context, t settle.Transfer) settle.Word {
	a.mu.Lock()
	defer a.mu.Unlock()
	if w, known := a.done[t.ID]; known {
		return w
	}
	return settle.Word{Outcome: settle.Unheard}
}

func withSettler(t *testing.T, has map[tongma.ParticipantID]int64) *bench {
	agent := &till{has: has, done: map[string]settle.Word{}}
	b := withOffice(t)
	b.api.cfg.Settler = settle.New(settle.Options{Ledger: b.engine.Ledger(), Directory: b.engine.Directory,
		Agent: func(*clearing.Sheet, tongma.Currency) settle.Agent { return agent }})
	return b
}

func TestAWindowIsSettledByTheRules(t *testing.T) {
	b := withSettler(t, map[tongma.ParticipantID]int64{"wallet": 5_000})
	b.answer(b.pay("k1", 1, 5_000), 200)
	b.refused(b.ask("operator", "POST", "/v1/windows/1/settle", ""), 409, tongma.WindowNotClosed)
	if w := decode[Closing](t, b.ask("operator", "POST", "/v1/windows/1/close?dry_run=true", "")); !w.DryRun || w.State != "open" {
		t.Fatalf("%+v", w)
	}
	tomorrow := time.Now().AddDate(0, 0, 1).UTC().Format(time.DateOnly)
	for _, day := range []string{"tomorrow", "2020-01-01", "2999-12-31"} {
		b.refused(b.ask("operator", "POST", "/v1/windows/1/close?value_date="+day, ""), 400, tongma.FieldInvalid)
	}
	for range 2 { // a window that the path names is closed once
		if w := decode[Closing](t, b.ask("operator", "POST", "/v1/windows/1/close?value_date="+tomorrow, "")); w.State != "closed" || w.ValueDate != tomorrow {
			t.Fatalf("%+v", w)
		}
	}
	b.refused(b.ask("operator", "POST", "/v1/windows/close?model=odd", ""), 422, tongma.ModelUnknown)
	b.refused(b.ask("operator", "POST", "/v1/windows/close?value_date=tomorrow", ""), 400, tongma.FieldInvalid)
	dry := decode[Settlement](t, b.ask("operator", "POST", "/v1/windows/1/settle?dry_run=true", ""))
	if !dry.DryRun || dry.Done || dry.State != "closed" || len(dry.Events) == 0 {
		t.Fatalf("%+v", dry)
	}
	s := decode[Settlement](t, b.ask("operator", "POST", "/v1/windows/1/settle", ""))
	if !s.Done || s.State != "settled" || len(s.Waits) != 0 || len(s.Events) < 3 || s.Events[len(s.Events)-1].Says != "settled" {
		t.Fatalf("%+v", s)
	}
	if again := decode[Settlement](t, b.ask("operator", "POST", "/v1/windows/1/settle", "")); !again.Done || len(again.Events) != 0 {
		t.Fatalf("%+v", again)
	}
	b.refused(b.ask("operator", "POST", "/v1/windows/9/settle", ""), 404, tongma.WindowUnknown)
	b.refused(b.ask("operator", "POST", "/v1/windows/1/settle?steps=many", ""), 400, tongma.FieldInvalid)
	b.refused(b.ask("operator", "POST", "/v1/windows/1/settle?retry=often", ""), 400, tongma.FieldInvalid)
	b.refused(b.ask("wallet", "POST", "/v1/windows/1/settle", ""), 403, tongma.NotPermittedHere)
}

// TestWhoIsShortIsCoveredStepByStep: the agent refuses, the rules say what comes
// next, and nothing of that happens until somebody asks for it.
func TestWhoIsShortIsCoveredStepByStep(t *testing.T) {
	b := withSettler(t, map[tongma.ParticipantID]int64{"wallet": 4_999})
	b.answer(b.pay("k1", 1, 5_000), 200)
	b.ask("operator", "POST", "/v1/windows/1/close", "")
	s := decode[Settlement](t, b.ask("operator", "POST", "/v1/windows/1/settle?steps=none", ""))
	if s.Done || s.State != "short" || len(s.Waits) != 1 || s.Waits[0].From != "wallet" || len(s.Plan) == 0 || s.Plan[0].Short != "wallet" || s.Plan[0].Amount != "50.00" {
		t.Fatalf("%+v", s)
	}
	if a := b.answer(b.pay("k2", 2, 1), 200); a.Reason != tongma.ParticipantSuspended {
		t.Fatalf("who is short pays on: %+v", a)
	}
	if s = decode[Settlement](t, b.ask("operator", "POST", "/v1/windows/1/waterfall", "")); s.Done {
		t.Fatalf("nobody covers, by the rules of this market: %+v", s)
	}
	if s = decode[Settlement](t, b.ask("operator", "POST", "/v1/windows/1/waterfall?dry_run=true", "")); !s.DryRun {
		t.Fatalf("%+v", s)
	}
	if own := decode[Window](t, b.ask("acq", "GET", "/v1/windows/1", "")); own.State != "collecting" {
		t.Fatalf("%+v", own)
	}
}

func TestWithoutASettlerNothingIsSettled(t *testing.T) {
	b := newBench(t)
	b.ask("operator", "POST", "/v1/windows/1/close", "")
	b.refused(b.ask("operator", "POST", "/v1/windows/1/waterfall", ""), 503, tongma.AdapterDown)
	b.refused(b.ask("operator", "POST", "/v1/windows/1/settle", ""), 503, tongma.AdapterDown)
}

func TestModelsSayWhenTheyAreCutOff(t *testing.T) {
	b := newBench(t)
	find := func(id string) (m ModelView) {
		t.Helper()
		for _, m := range decode[ModelList](t, b.ask("wallet", "GET", "/v1/models", "")).Models {
			if m.Model == id {
				return m
			}
		}
		t.Fatalf("no model %q", id)
		return m
	}
	if m := find(""); m.Open != "win_000001" || m.Method != "multilateral" || m.Schedule != "" || m.Agent != "bank" {
		t.Fatalf("%+v", m)
	}
	m := find("fast")
	if m.Method != "gross" || m.Schedule != "daily" || m.Zone != "Asia/Shanghai" || len(m.Cycles) != 2 || m.Next == nil || m.Next.ValueDate == "" || m.Fault != "" || m.Schemes[0] != "north" {
		t.Fatalf("%+v", m)
	}
	b.write(clearing.Entry{Kind: clearing.KindOpen, Model: "old", Method: calendar.Bilateral})
	if m = find("old"); m.Method != "bilateral" || m.Open == "" {
		t.Fatalf("a model that the directory has dropped: %+v", m)
	}
}

func TestAPositionIsExplained(t *testing.T) {
	b := withOffice(t)
	b.answer(b.pay("k1", 1, 1250), 200)
	b.answer(b.pay("k2", 2, 250), 200)
	for _, who := range []string{"operator", "wallet"} {
		v := decode[office.PositionView](t, b.ask(who, "GET", "/v1/positions/wallet/CNY/explain", ""))
		if v.Position.Minor != 1500 || len(v.Rows) != 2 || v.Rows[1].Sum.Minor != 1500 {
			t.Fatalf("%+v", v)
		}
	}
	if v := decode[office.PositionView](t, b.ask("operator", "GET", "/v1/positions/wallet/CNY/explain?limit=1", "")); v.Earlier != 1 || len(v.Rows) != 2 {
		t.Fatalf("%+v", v)
	}
	b.refused(b.ask("acq", "GET", "/v1/positions/wallet/CNY/explain", ""), 403, tongma.NotPermittedHere)
	b.refused(b.ask("operator", "GET", "/v1/positions/wallet/XXQ/explain", ""), 422, tongma.CurrencyUnknown)
	b.refused(b.ask("operator", "GET", "/v1/positions/wallet/USD/explain", ""), 422, tongma.NoAccount)
	b.refused(b.ask("operator", "GET", "/v1/positions/nobody/CNY/explain", ""), 403, tongma.ParticipantUnknown)
}

func TestASheetIsAMessageToTheAgent(t *testing.T) {
	b := withSettler(t, map[tongma.ParticipantID]int64{"wallet": 1250})
	b.answer(b.pay("k1", 1, 1250), 200)
	b.refused(b.ask("operator", "GET", "/v1/windows/1?format=pacs009", ""), 409, tongma.WindowNotClosed)
	b.ask("operator", "POST", "/v1/windows/1/close", "")
	before := b.ask("operator", "GET", "/v1/windows/1?format=pacs009", "")
	text := string(before.body)
	if before.status != 200 || before.header.Get("Content-Type") != xmlType || !strings.Contains(text, "pacs.009.001") || !strings.Contains(text, "head.001.001") || !strings.Contains(text, ">12.50<") || !strings.Contains(text, "W-1") {
		t.Fatalf("%d %s", before.status, text)
	}
	if got := b.ask("operator", "GET", "/v1/windows/1?format=pacs009&direction=credit", ""); !strings.Contains(string(got.body), "A-1") {
		t.Fatalf("%s", got.body)
	}
	if got := b.ask("operator", "GET", "/v1/windows/1", "", "Accept", mediaTypes["pacs029"]); !strings.Contains(string(got.body), "pacs.029.001") {
		t.Fatalf("%s", got.body)
	}
	decode[Settlement](t, b.ask("operator", "POST", "/v1/windows/1/settle", ""))
	id := func(text string) string {
		_, rest, _ := strings.Cut(text, "<EndToEndId>")
		id, _, _ := strings.Cut(rest, "<")
		return id
	}
	if after := b.ask("operator", "GET", "/v1/windows/1?format=pacs009", ""); id(string(after.body)) != id(text) || id(text) == "" {
		t.Errorf("a settled sheet tells of another instruction: %q, %q", id(string(after.body)), id(text))
	}
	b.refused(b.ask("wallet", "GET", "/v1/windows/1?format=pacs009", ""), 403, tongma.NotPermittedHere)
	b.refused(b.ask("operator", "GET", "/v1/windows/1?format=pacs009&currency=USD", ""), 503, tongma.SetupInvalid)
	b.refused(b.ask("operator", "GET", "/v1/windows/1?format=pacs009&direction=up", ""), 400, tongma.FieldInvalid)
}

// TestASponsorSeesWhomItAnswersFor: what a sub-participant may still pay is bounded by
// its own cap; of its sponsor it shows only whether debits are taken.
func TestASponsorSeesWhomItAnswersFor(t *testing.T) {
	b := newBench(t)
	b.write(clearing.Entry{Kind: clearing.KindSponsor, Debtor: "other", Creditor: "wallet"})
	b.post("", "other", "acq", 3_000)
	b.post("", "wallet", "acq", 6_500)
	own := decode[PositionsPage](t, b.ask("wallet", "GET", "/v1/positions", ""))
	if len(own.Positions) != 2 || own.Positions[0].Participant != "other" || own.Positions[0].MemoPosition != "30.00" || own.Positions[0].Position != "0.00" ||
		own.Positions[0].Available != "70.00" || own.Positions[0].Sponsor != "wallet" || own.Positions[1].Position != "95.00" || own.Positions[1].Available != "5.00" {
		t.Fatalf("%+v", own)
	}
	if sub := decode[PositionsPage](t, b.ask("other", "GET", "/v1/positions", "")); len(sub.Positions) != 1 {
		t.Fatalf("%+v", sub)
	}
	items := decode[WindowItems](t, b.ask("wallet", "GET", "/v1/windows/1/payments", "")).Items
	if len(items) != 2 || items[0].Debtor != "other" || items[0].Payer != "wallet" || items[0].Amount != "30.00" || items[1].Payer != "" {
		t.Fatalf("%+v", items)
	}
}

func TestWhatIfTheLargestFailed(t *testing.T) {
	b := newBench(t)
	b.post("", "wallet", "acq", 5_000)
	b.post("", "other", "acq", 3_000)
	list := decode[StressList](t, b.ask("operator", "GET", "/v1/windows/1/stress?failing=1", ""))
	if len(list.Results) != 1 || list.Results[0].Failed[0] != "wallet" || list.Results[0].Missing != "50.00" || list.Results[0].Settles || len(list.Results[0].Steps) == 0 {
		t.Fatalf("%+v", list)
	}
	if list = decode[StressList](t, b.ask("operator", "GET", "/v1/windows/1/stress", "")); list.Failing != 2 || list.Results[0].Missing != "80.00" {
		t.Fatalf("%+v", list)
	}
	b.refused(b.ask("operator", "GET", "/v1/windows/1/stress?failing=0", ""), 400, tongma.FieldInvalid)
	b.refused(b.ask("operator", "GET", "/v1/windows/7/stress", ""), 404, tongma.WindowUnknown)
	b.refused(b.ask("wallet", "GET", "/v1/windows/1/stress", ""), 403, tongma.NotPermittedHere)
}

func TestAProjectionCoversAllModels(t *testing.T) {
	b := newBench(t)
	b.write(clearing.Entry{Kind: clearing.KindOpen, Model: "fast", Method: calendar.Gross})
	b.post("", "wallet", "acq", 5_000)
	b.post("fast", "acq", "wallet", 300)
	p := decode[Projection](t, b.ask("operator", "GET", "/v1/windows/projection", ""))
	if len(p.Windows) != 2 || len(p.Models) != 2 || p.ToMove["CNY"] != "53.00" || len(p.Instructions) != 3 || p.Instructions[0].Direction != "debit" || len(p.Positions) != 2 {
		t.Fatalf("%+v", p)
	}
	if w := p.Positions[1]; w.Participant != "wallet" || w.Pays != "50.00" || w.Receives != "3.00" || w.Settled != "47.00" || w.After != "0.00" || w.Uncovered != "50.00" {
		t.Fatalf("%+v", w)
	}
	b.refused(b.ask("operator", "GET", "/v1/windows/projection?window=9", ""), 404, tongma.WindowUnknown)
}

// TestAProjectionShowsWhoWouldBeBeyondItsCap is the case that no other switch warns
// of: settling the window with a participant's credits alone leaves it beyond its cap
// in the next one, though every debit was within it. It moves nothing.
func TestAProjectionShowsWhoWouldBeBeyondItsCap(t *testing.T) {
	b := newBench(t)
	b.post("", "acq", "wallet", 9_000)
	b.ask("operator", "POST", "/v1/windows/1/close", "")
	b.post("", "wallet", "acq", 18_500) // within the cap of 100.00 only by the credit before it
	for path, want := range map[string][2]string{"?window=1": {"185.00", "85.00"}, "?window=1&window=1": {"185.00", "85.00"}, "": {"0.00", ""}} {
		p := decode[Projection](t, b.ask("operator", "GET", "/v1/windows/projection"+path, ""))
		if w := p.Positions[1]; w.Participant != "wallet" || w.Position != "95.00" || w.After != want[0] || w.Beyond != want[1] || p.Beyond != min(1, len(want[1])) {
			t.Errorf("%q: %+v", path, w)
		}
	}
	if own := decode[PositionsPage](t, b.ask("wallet", "GET", "/v1/positions", "")); own.Positions[0].Position != "95.00" {
		t.Errorf("%+v", own)
	}
}

func TestAllOfAWindowIsAnArchive(t *testing.T) {
	b, _ := shortWindow(t)
	got := b.ask("operator", "GET", "/v1/windows/1?format=zip", "")
	z, err := zip.NewReader(bytes.NewReader(got.body), int64(len(got.body)))
	if err != nil || got.header.Get("Content-Type") != "application/zip" {
		t.Fatal(err, got.status)
	}
	kinds := map[string]int{}
	for _, f := range z.File {
		kinds[path.Ext(f.Name)]++
	}
	if kinds[".csv"] != 4 || kinds[".json"] != 1 || kinds[".xml"] < 3 || kinds[".txt"] != 2 {
		t.Fatalf("%v", kinds)
	}
	proofs := map[string][32]byte{}
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		proofs[f.Name] = sha256.Sum256(text)
		if f.Name == "SHA256SUMS" {
			for name, sum := range proofs {
				if name != f.Name && !strings.Contains(string(text), hex.EncodeToString(sum[:])+"  "+name+"\n") {
					t.Errorf("%s has another sum", name)
				}
			}
		}
	}
	if w := decode[Window](t, b.ask("operator", "GET", "/v1/windows/1", "")); fmt.Sprintf("%x", proofs["win-000001-sheet.txt"]) != w.SheetHash {
		t.Errorf("the text of the sheet is not what its hash %s is of", w.SheetHash)
	}
	b.refused(b.ask("acq", "GET", "/v1/windows/1?format=zip", ""), 403, tongma.NotPermittedHere)
}
