package api

import (
	"bytes"
	"encoding/json"
	"mime/multipart"
	"strings"
	"testing"
	"time"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing/recon"
	"github.com/tongma/tongma/schemes"
	"github.com/tongma/tongma/switch/office"
)

// withOffice puts a real office over the bench's ledger.
func withOffice(t testing.TB) *bench {
	t.Helper()
	d, err := schemes.Parse(1, []byte(market))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	serial := byte(0)
	return newBench(t, func(c *Config) {
		c.Office, err = office.New(office.Options{Ledger: c.Engine.Ledger(), Journal: c.Store, Directory: func() *schemes.Directory { return d }, Now: time.Now,
			NewID: func() tongma.PaymentID { serial++; return tongma.PaymentID{2, 15: serial} }, Data: dir})
		if err != nil {
			t.Fatal(err)
		}
	})
}

func TestACapTakesTwoPeople(t *testing.T) {
	b := withOffice(t)
	const body = `{"participant":"wallet","cap":{"minor":50000,"currency":"CNY"}}`
	propose := func(who, key, query string) reply {
		return b.ask(who, "POST", "/v1/caps/proposals"+query, body, "Idempotency-Key", key)
	}
	b.refused(propose("wallet", "c1", ""), 403, tongma.NotPermittedHere)
	if done := decode[office.Done](t, propose("ann", "c1", "?dry_run=true")); !done.DryRun || done.Entry != 0 {
		t.Fatalf("%+v", done)
	}
	b.refused(b.ask("bob", "POST", "/v1/caps/proposals/c1/approve", ""), 404, tongma.ProposalUnknown) // nothing was written
	if done := decode[office.Done](t, propose("ann", "c1", "")); done.Entry == 0 || done.Money == "" {
		t.Fatalf("%+v", done)
	}
	if done := decode[office.Done](t, propose("ann", "c1", "")); !done.Exists {
		t.Fatalf("a repeat: %+v", done)
	}
	list := decode[CapList](t, b.ask("operator", "GET", "/v1/caps/proposals?waiting=true", ""))
	if len(list.Proposals) != 1 || list.Proposals[0].Maker != "ann" || list.Proposals[0].State != "waiting" || list.Proposals[0].Standing.Minor != 10000 {
		t.Fatalf("%+v", list)
	}
	own := b.ask("ann", "POST", "/v1/caps/proposals/c1/approve", "")
	if p, _ := tongma.ParseProblem(own.body); own.status == 200 || (p.Code != tongma.MakerIsChecker.Code() && p.Code != tongma.NotPermittedHere.Code()) {
		t.Fatalf("the maker approves: %d %s", own.status, own.body)
	}
	decode[office.Done](t, b.ask("bob", "POST", "/v1/caps/proposals/c1/approve", ""))
	if p := decode[PositionsPage](t, b.ask("wallet", "GET", "/v1/positions", "")).Positions[0]; p.Cap != "500.00" {
		t.Fatalf("%+v", p)
	}
	list = decode[CapList](t, b.ask("operator", "GET", "/v1/caps/proposals?participant=wallet", ""))
	if len(list.Proposals) != 1 || list.Proposals[0].Checker != "bob" || list.Proposals[0].State != "approved" {
		t.Fatalf("%+v", list)
	}
	b.refused(b.ask("ann", "POST", "/v1/caps/proposals/c1/reject", ""), 409, tongma.StateConflict)
	b.refused(b.ask("ann", "POST", "/v1/caps/proposals", body), 400, tongma.KeyMissing)
	b.refused(b.ask("ann", "POST", "/v1/caps/proposals", `{"participant":"wallet","cap":{"minor":1,"currency":"CNY"},"maker":"bob"}`, "Idempotency-Key", "c2"), 400, tongma.FieldUnknown)
	b.refused(b.ask("ann", "POST", "/v1/caps/proposals?dry_run=maybe", body, "Idempotency-Key", "c2"), 400, tongma.FieldInvalid)
	b.refused(b.ask("ann", "POST", "/v1/caps/proposals", `{"participant":7}`, "Idempotency-Key", "c2"), 400, tongma.FieldInvalid)
	b.refused(b.ask("ann", "POST", "/v1/caps/proposals", `{"participant":"wallet"`, "Idempotency-Key", "c2"), 400, tongma.MessageMalformed)
	b.refused(b.ask("ann", "POST", "/v1/caps/proposals", body+body, "Idempotency-Key", "c2"), 400, tongma.MessageMalformed)
}

// TestOnePersonAloneIsToldWhatToDo: what takes two cannot be begun by one who is
// alone, and the answer says how to be two.
func TestOnePersonAloneIsToldWhatToDo(t *testing.T) {
	b := withOffice(t)
	b.api.cfg.Auth = people{1}
	p := b.refused(b.ask("operator", "POST", "/v1/caps/proposals", `{"participant":"wallet","cap":{"minor":1,"currency":"CNY"}}`, "Idempotency-Key", "c1"), 403, tongma.NotPermittedHere)
	if !strings.Contains(p.Detail, "creds/operator.NAME.token") {
		t.Errorf("%q", p.Detail)
	}
	b.refused(b.ask("operator", "POST", "/v1/caps/proposals/c1/approve", ""), 403, tongma.NotPermittedHere)
}

// TestAPersonIsNotTwoByTheOperatorsOwnToken: whoever has a name may hold that one too.
func TestAPersonIsNotTwoByTheOperatorsOwnToken(t *testing.T) {
	b := withOffice(t)
	b.api.cfg.Sandbox = false
	body := `{"participant":"wallet","cap":{"minor":50000,"currency":"CNY"}}`
	p := b.refused(b.ask("operator", "POST", "/v1/caps/proposals", body, "Idempotency-Key", "c1"), 403, tongma.NotPermittedHere)
	if !strings.Contains(p.Detail, "creds/operator.NAME.token") {
		t.Errorf("%q", p.Detail)
	}
	decode[office.Done](t, b.ask("ann", "POST", "/v1/caps/proposals", body, "Idempotency-Key", "c1"))
	b.refused(b.ask("operator", "POST", "/v1/caps/proposals/c1/approve", ""), 403, tongma.NotPermittedHere)
	b.refused(b.ask("operator", "POST", "/v1/caps/proposals/c1/reject", ""), 403, tongma.NotPermittedHere)
	decode[office.Done](t, b.ask("bob", "POST", "/v1/caps/proposals/c1/approve", ""))
}

func TestAnOfficeThatIsNotThereIsSaidSo(t *testing.T) {
	b := newBench(t)
	for _, path := range []string{"/v1/caps/proposals", "/v1/participants", "/v1/recon/breaks"} {
		b.refused(b.ask("operator", "GET", path, ""), 404, tongma.OperationUnknown)
	}
	b.refused(b.ask("operator", "POST", "/v1/recon/runs", ""), 404, tongma.OperationUnknown)
}

func TestParticipantsAreSuspendedAndResumed(t *testing.T) {
	b := withOffice(t)
	why := `{"why":"its bank asked for it"}`
	b.refused(b.ask("acq", "POST", "/v1/participants/wallet/suspend", why), 403, tongma.NotPermittedHere)
	b.refused(b.ask("ann", "POST", "/v1/participants/wallet/suspend", `{}`), 400, tongma.FieldInvalid)
	b.refused(b.ask("ann", "POST", "/v1/participants/nobody/suspend", why), 403, tongma.ParticipantUnknown)
	decode[office.Done](t, b.ask("ann", "POST", "/v1/participants/wallet/suspend", why))
	if a := b.answer(b.pay("k1", 1, 100), 200); a.Reason != tongma.ParticipantSuspended {
		t.Fatalf("%+v", a)
	}
	list := decode[ParticipantList](t, b.ask("operator", "GET", "/v1/participants", ""))
	if len(list.Participants) != 3 || !list.Participants[2].Suspended || list.Participants[2].By != "ann" || list.Participants[2].Why != "its bank asked for it" {
		t.Fatalf("%+v", list)
	}
	decode[office.Done](t, b.ask("bob", "POST", "/v1/participants/wallet/resume", why))
	if a := b.answer(b.pay("k2", 2, 100), 200); a.Outcome != tongma.Approved {
		t.Fatalf("%+v", a)
	}
}

func TestPrefundingComesAndGoes(t *testing.T) {
	b := withOffice(t)
	book := func(kind, key string, minor int64) reply {
		body, _ := json.Marshal(FundsBody{Amount: tongma.Money{Minor: minor, Currency: tongma.CNY}, Ref: "R1"})
		return b.ask("ann", "POST", "/v1/participants/wallet/"+kind, string(body), "Idempotency-Key", key)
	}
	decode[office.Done](t, book("deposits", "d1", 5000))
	if done := decode[office.Done](t, book("deposits", "d1", 5000)); !done.Exists {
		t.Fatalf("%+v", done)
	}
	b.refused(book("deposits", "d1", 5001), 422, tongma.ExistsOtherAmount)
	if p := decode[PositionsPage](t, b.ask("wallet", "GET", "/v1/positions", "")).Positions[0]; p.Available != "150.00" {
		t.Fatalf("%+v", p)
	}
	b.refused(book("withdrawals", "w1", 5001), 422, tongma.AmountInvalid)
	decode[office.Done](t, book("withdrawals", "w1", 5000))
	b.refused(book("withdrawals", "", 1), 400, tongma.KeyMissing)
}

// form makes the body of an upload: pairs of a part's name and its content.
func form(t testing.TB, parts ...string) (body, kind string) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for i := 0; i+1 < len(parts); i += 2 {
		f, err := w.CreateFormFile(parts[i], "file.csv")
		if err != nil {
			t.Fatal(err)
		}
		_, _ = f.Write([]byte(parts[i+1]))
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String(), w.FormDataContentType()
}

func TestFilesAreHeldAgainstTheJournal(t *testing.T) {
	b := withOffice(t)
	b.answer(b.pay("k1", 1, 1250), 200)
	b.ask("operator", "POST", "/v1/windows/close", "")
	send := func(query string, parts ...string) reply {
		body, kind := form(t, parts...)
		return b.ask("ann", "POST", "/v1/recon/runs"+query, body, "Content-Type", kind)
	}
	header := recon.Header + "\n"
	b.refused(send("?window=1", "wallet", header), 400, tongma.FieldInvalid)
	b.refused(send("?window=1", "from:nobody", header), 403, tongma.ParticipantUnknown)
	b.refused(b.ask("ann", "POST", "/v1/recon/runs", "{}"), 415, tongma.MessageMalformed)
	b.refused(b.ask("ann", "POST", "/v1/recon/runs", "no form", "Content-Type", "multipart/form-data; boundary=x"), 400, tongma.MessageMalformed)
	dry := decode[office.ReconReport](t, send("?window=1&dry_run=true", "from:wallet", header))
	if !dry.DryRun || len(dry.Breaks) != 1 {
		t.Fatalf("%+v", dry)
	}
	if list := decode[BreakList](t, b.ask("ann", "GET", "/v1/recon/breaks", "")); len(list.Breaks) != 0 {
		t.Fatalf("a dry run keeps %+v", list)
	}
	run := decode[office.ReconReport](t, send("?window=1", "from:wallet", header))
	if run.New != 1 || len(run.Breaks) != 1 || run.Breaks[0].AtRisk.Minor != 1250 {
		t.Fatalf("%+v", run)
	}
	list := decode[BreakList](t, b.ask("ann", "GET", "/v1/recon/breaks?state=open&participant=wallet&window=1&currency=CNY&at_risk_minor=1250", ""))
	if len(list.Breaks) != 1 || list.Breaks[0].ID != run.Breaks[0].ID {
		t.Fatalf("%+v", list)
	}
	if csv := b.ask("ann", "GET", "/v1/recon/breaks?format=csv", ""); csv.header.Get("Content-Type") != "text/csv" || !strings.Contains(string(csv.body), run.Breaks[0].ID) {
		t.Fatalf("%s", csv.body)
	}
	for _, query := range []string{"state=lost", "kind=x", "window=x", "payment=x", "currency=XXQ", "at_risk_minor=-1", "age_hours=x", "format=pdf", "limit=0"} {
		b.refused(b.ask("ann", "GET", "/v1/recon/breaks?"+query, ""), 400, tongma.FieldInvalid)
	}
	path := "/v1/recon/breaks/" + run.Breaks[0].ID + "/resolve"
	b.refused(b.ask("ann", "POST", path, `{"how":"forgotten","note":"x"}`), 400, tongma.FieldInvalid)
	ended := decode[recon.Break](t, b.ask("bob", "POST", path, `{"how":"explained","note":"they sent the wrong file"}`))
	if ended.Resolution == nil || ended.Resolution.By != "bob" {
		t.Fatalf("%+v", ended)
	}
	b.refused(b.ask("bob", "POST", path, `{"how":"explained","note":"again"}`), 409, tongma.StateConflict)
	b.refused(b.ask("bob", "POST", "/v1/recon/breaks/brk_0/resolve", `{"how":"explained","note":"x"}`), 404, tongma.BreakUnknown)
	b.refused(b.ask("acq", "GET", "/v1/recon/breaks", ""), 403, tongma.NotPermittedHere)
}
