package agentsim

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
	"github.com/tongma/tongma/clearing/iso20022"
)

func TestMain(m *testing.M) {
	if _, err := exec.LookPath("xmllint"); err != nil {
		fmt.Fprintln(os.Stderr, "agentsim: xmllint is not installed (Debian: libxml2-utils): reports are read back, but NOT validated against the schemas")
	}
	os.Exit(m.Run())
}

const (
	token = "the-switch-0123456789"
	admin = "the-operator-0123456789"
)

var market = []Account{
	{ID: "SETTLEMENT-1", Code: "CNY", Kind: Settlement, Owner: "TONGMA"},
	{ID: "A-1", Code: "CNY", Kind: Participant, Owner: "BKAACNBJ", Balance: 10_000, Mandate: "MANDATE-A"},
	{ID: "B-1", Code: "CNY", Kind: Participant, Owner: "BANKB", Balance: 100, Limit: 50},
	{ID: "C-1", Code: "CNY", Kind: Participant, Owner: "BANKC"},
	{ID: "A-PRE", Code: "CNY", Kind: Prefunding, Owner: "BKAACNBJ", Balance: 500},
}

// rig is an agent that really listens, and the switch's side of the wire.
type rig struct {
	*Server
	t    *testing.T
	law  Rules
	base string
	path string
	mu   sync.Mutex
	now  time.Time
	seen [][]byte // every message that was exchanged
}

func start(t *testing.T, path string) *rig {
	t.Helper()
	return startBy(t, path, Rules{})
}

func startBy(t *testing.T, path string, law Rules) *rig {
	t.Helper()
	r := &rig{t: t, law: law, path: path, now: time.Date(2026, 11, 23, 15, 0, 5, 0, time.UTC)}
	r.boot()
	t.Cleanup(func() {
		r.stop()
		r.lint()
	})
	return r
}

func (r *rig) boot() {
	r.t.Helper()
	s, err := New(Options{Path: r.path, Now: r.clock, Rules: r.law, Token: token, Admin: admin, Accounts: market, Party: iso20022.Party{BIC: "CBKXCNBJ"}})
	if err != nil {
		r.t.Fatal(err)
	}
	addr, err := s.Listen("127.0.0.1:0")
	if err != nil {
		r.t.Fatal(err)
	}
	r.Server, r.base = s, "http://"+addr.String()
}

func (r *rig) clock() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.now
}

func (r *rig) wait(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now = r.now.Add(d)
}

// stop ends the agent, after a look at its books: they sum to zero.
func (r *rig) stop() {
	r.t.Helper()
	all, err := r.Accounts()
	if err != nil {
		return // stopped already
	}
	sum := int64(0)
	for _, a := range all {
		sum += a.Balance
		if a.Kind != Own && a.Balance < -a.Limit {
			r.t.Errorf("%s is below its limit", a.ID)
		}
	}
	if sum != 0 {
		r.t.Errorf("the accounts sum to %d", sum)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := r.Close(ctx); err != nil {
		r.t.Error(err)
	}
}

func (r *rig) lint() {
	tool, err := exec.LookPath("xmllint")
	if err != nil {
		return
	}
	dir, files := r.t.TempDir(), map[string][]string{}
	for i, m := range r.seen {
		_, doc, _ := bytes.Cut(m, []byte("<Doc>\n"))
		doc, _, _ = bytes.Cut(doc, []byte("</Doc>"))
		_, def, _ := bytes.Cut(doc, []byte("urn:iso:std:iso:20022:tech:xsd:"))
		name := string(def[:15])
		file := filepath.Join(dir, fmt.Sprint(i, ".xml"))
		if strings.HasPrefix(name, "camt.025") {
			continue // no schema was at hand
		}
		if err := os.WriteFile(file, doc, 0o600); err != nil {
			r.t.Fatal(err)
		}
		files[name] = append(files[name], file)
	}
	for name, all := range files {
		args := append([]string{"--nonet", "--noout", "--schema", filepath.Join("..", "iso20022", "testdata", "xsd", name+".xsd")}, all...)
		if out, err := exec.Command(tool, args...).CombinedOutput(); err != nil {
			r.t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}

// call asks the agent as the switch does.
func (r *rig) call(method, path string, body []byte) (int, []byte, http.Header, error) {
	return r.as(token, method, path, "application/xml", body)
}

func (r *rig) as(who, method, path, kind string, body []byte) (int, []byte, http.Header, error) {
	req, err := http.NewRequest(method, r.base+path, bytes.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+who)
	req.Header.Set("Content-Type", kind)
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}} // nothing is sent a second time
	res, err := client.Do(req)
	if err != nil {
		return 0, nil, nil, err
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if strings.HasPrefix(res.Header.Get("Content-Type"), "application/xml") {
		r.mu.Lock()
		r.seen = append(r.seen, data)
		r.mu.Unlock()
	}
	return res.StatusCode, data, res.Header, err
}

func party(account string) iso20022.Party {
	return iso20022.Party{Other: "X", Account: iso20022.Account{Other: account}}
}

func heading(id string) iso20022.Heading {
	return iso20022.Heading{ID: id, Created: time.Date(2026, 11, 23, 15, 0, 5, 0, time.UTC), Date: iso20022.Date{Year: 2026, Month: 11, Day: 23}, System: "TONGMA",
		Settlement: iso20022.Party{Other: "TONGMA", Account: iso20022.Account{Other: "SETTLEMENT-1"}},
		Parties: map[tongma.ParticipantID]iso20022.Party{
			"bank-a": {BIC: "BKAACNBJ", Mandate: "MANDATE-A"}, "bank-b": party("B-1"), "bank-c": party("C-1"), "bank-d": party("D-1"), "bank-x": {Other: "BANKB", Mandate: "MANDATE-X"}}}
}

// in makes an instruction: "+bank-a" is collected, "-bank-a" is paid.
func in(id, who string, minor int64) clearing.Instruction {
	return clearing.Instruction{ID: id, Window: 12, Participant: tongma.ParticipantID(who[1:]), Debit: who[0] == '+', Amount: tongma.Money{Minor: minor, Currency: tongma.CNY}, Sheet: [32]byte{1}}
}

func wrap(t *testing.T, h iso20022.Heading, d iso20022.Document, err error) []byte {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	body, err := d.Envelope(d.Header(iso20022.Party{Other: "TONGMA"}, iso20022.Party{BIC: "CBKXCNBJ"}))
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func transfers(t *testing.T, id string, ins ...clearing.Instruction) []byte {
	h := heading(id)
	d, err := iso20022.CreditTransfers(h, ins)
	return wrap(t, h, d, err)
}

// post sends a message, and returns "code id=STATUS …".
func (r *rig) post(body []byte) string {
	r.t.Helper()
	code, data, _, err := r.call("POST", "/v1/messages", body)
	if err != nil {
		return "no answer"
	}
	return fmt.Sprint(code, r.statuses(data))
}

func (r *rig) statuses(data []byte) (out string) {
	m, err := iso20022.Read(data)
	if err != nil {
		return ""
	}
	for _, s := range m.Statuses {
		out += " " + s.Instruction + "=" + s.Code
		if s.Reason != "" {
			out += " " + strings.Fields(s.Reason)[0]
		}
	}
	return out
}

func (r *rig) ask(id string) string {
	r.t.Helper()
	code, data, _, err := r.call("GET", "/v1/status/"+id, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	return fmt.Sprint(code, r.statuses(data))
}

func (r *rig) balances() string {
	return fmt.Sprint(r.Balance("A-1", tongma.CNY), r.Balance("B-1", tongma.CNY), r.Balance("C-1", tongma.CNY), r.Balance("SETTLEMENT-1", tongma.CNY))
}

func (r *rig) plant(f Fault) {
	r.t.Helper()
	if _, err := r.Plant(f); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) want(what, got, want string) {
	r.t.Helper()
	if got != want {
		r.t.Errorf("%s: %s, want %s", what, got, want)
	}
}

func TestDebitsAreCollectedAndCreditsPaid(t *testing.T) {
	r := start(t, "")
	r.want("collect", r.post(transfers(t, "M-1", in("I-1", "+bank-a", 3000), in("I-2", "+bank-b", 150))), "200 I-1=ACSC I-2=ACSC")
	r.want("pay", r.post(transfers(t, "M-2", in("I-3", "-bank-c", 3150))), "200 I-3=ACSC")
	r.want("books", r.balances(), "7000 -50 3150 0")
	r.want("overdraft is used up", r.post(transfers(t, "M-3", in("I-4", "+bank-b", 1))), "200 I-4=RJCT AM04")
	r.want("an account that there is not", r.post(transfers(t, "M-4", in("I-5", "+bank-d", 1))), "200 I-5=RJCT AC02")
	r.want("status", r.ask("I-2"), "200 I-2=ACSC")
	r.want("a failed id stays failed", r.ask("I-4"), "200 I-4=RJCT AM04")
	r.want("nobody knows it", r.ask("I-9"), "404")
}

func TestTheSameMessageMovesMoneyOnce(t *testing.T) {
	r := start(t, "")
	m := transfers(t, "M-1", in("I-1", "+bank-a", 3000))
	for range 3 {
		r.want("again", r.post(m), "200 I-1=ACSC")
	}
	r.want("the instruction in another message", r.post(transfers(t, "M-2", in("I-1", "+bank-a", 3000), in("I-2", "+bank-a", 1))), "200 I-1=ACSC I-2=ACSC")
	r.want("the id with another amount", r.post(transfers(t, "M-3", in("I-1", "+bank-a", 3001))), "409")
	r.want("the message with another leg", r.post(transfers(t, "M-1", in("I-7", "+bank-a", 3000))), "409")
	r.want("and nothing of it is known", r.ask("I-7"), "404")
	r.want("books", r.balances(), "6999 100 0 3001")
}

// TestADuplicateIsRefusedWhereTheRulesSaySo: with AM05, whatever it says, and what became of
// the first one its status says. Where the rules look at one day only, the id is another
// instruction's behind that.
func TestADuplicateIsRefusedWhereTheRulesSaySo(t *testing.T) {
	for _, rule := range []Duplicates{RefuseDuplicates, RefuseDuplicatesDay} {
		r := startBy(t, filepath.Join(t.TempDir(), "agent.jsonl"), Rules{Duplicates: rule, BackDated: true})
		m := transfers(t, "M-1", in("I-1", "+bank-a", 3000))
		r.want("first", r.post(m), "200 I-1=ACSC")
		r.want("the message again", r.post(m), "200 I-1=RJCT AM05")
		r.want("the instruction beside another", r.post(transfers(t, "M-2", in("I-1", "+bank-a", 3000), in("I-2", "+bank-a", 1))), "200 I-1=RJCT AM05 I-2=ACSC")
		r.want("with another amount", r.post(transfers(t, "M-3", in("I-1", "+bank-a", 3001))), "200 I-1=RJCT AM05")
		r.want("its status is the first one's", r.ask("I-1"), "200 I-1=ACSC")
		r.want("refused once", r.post(transfers(t, "M-4", in("I-4", "+bank-c", 5))), "200 I-4=RJCT AM04")
		r.want("and again", r.post(transfers(t, "M-4", in("I-4", "+bank-c", 5))), "200 I-4=RJCT AM05")
		r.want("and its status", r.ask("I-4"), "200 I-4=RJCT AM04")
		h := heading("L")
		d, err := iso20022.LiquidityTransfer(h, iso20022.Liquidity{ID: "L-1", From: party("A-PRE"), To: party("SETTLEMENT-1"), Amount: tongma.Money{Minor: 5, Currency: tongma.CNY}})
		r.want("out of prefunding", r.post(wrap(t, h, d, err)), "200 =ACSC")
		r.want("again", r.post(wrap(t, h, d, err)), "200 =RJCT AM05")
		r.want("books", r.balances(), "6999 100 0 3006")
		r.stop()
		r.boot()
		r.want("behind a restart", r.post(m), "200 I-1=RJCT AM05")
		r.wait(24 * time.Hour)
		r.want("the next day", r.post(m), map[Duplicates]string{RefuseDuplicates: "200 I-1=RJCT AM05", RefuseDuplicatesDay: "200 I-1=ACSC"}[rule])
		r.want("books", r.balances(), map[Duplicates]string{RefuseDuplicates: "6999 100 0 3006", RefuseDuplicatesDay: "3999 100 0 6006"}[rule])
	}
	if _, err := New(Options{Token: token, Rules: Rules{Duplicates: "sometimes"}}); tongma.ReasonOf(err) != tongma.SetupInvalid {
		t.Error(err)
	}
}

// TestADayThatHasPassedIsRefused: no system books into the past, unless its rules say that
// it takes such a date for today's.
func TestADayThatHasPassedIsRefused(t *testing.T) {
	for _, law := range []Rules{{}, {BackDated: true}} {
		r := startBy(t, "", law)
		r.want("today", r.post(transfers(t, "M-1", in("I-1", "+bank-a", 10))), "200 I-1=ACSC")
		r.wait(24 * time.Hour)
		r.want("yesterday", r.post(transfers(t, "M-2", in("I-2", "+bank-a", 10))), map[bool]string{false: "200 I-2=RJCT DT01", true: "200 I-2=ACSC"}[law.BackDated])
		r.want("and it stays so", r.ask("I-2"), map[bool]string{false: "200 I-2=RJCT DT01", true: "200 I-2=ACSC"}[law.BackDated])
	}
}

func TestDirectDebitsNeedTheMandate(t *testing.T) {
	r := start(t, "")
	h := heading("M-1")
	d, err := iso20022.DirectDebits(h, []clearing.Instruction{in("I-1", "+bank-a", 10), in("I-2", "+bank-x", 10)})
	r.want("pull", r.post(wrap(t, h, d, err)), "200 I-1=ACSC I-2=RJCT MD01")
}

func TestAWholeSheetSettlesOrNothingOfIt(t *testing.T) {
	r := start(t, "")
	sheet := func(hash byte, a, b int64) []byte {
		matrix := []clearing.Obligation{{Debtor: "bank-a", Creditor: "bank-c", Currency: tongma.CNY, Gross: a, Count: 1}, {Debtor: "bank-b", Creditor: "bank-c", Currency: tongma.CNY, Gross: b, Count: 1}}
		s := clearing.Sheet{Window: 12, State: clearing.WindowClosed, Matrix: matrix, Hash: [32]byte{hash}}
		s.Nets, s.Totals = clearing.Net(matrix)
		h := heading("M-" + fmt.Sprint(hash))
		d, err := iso20022.Settlement(h, s, tongma.CNY)
		return wrap(t, h, d, err)
	}
	if got := r.post(sheet(1, 1000, 151)); strings.Count(got, "RJCT") != 3 || strings.Count(got, "AM04") != 1 || strings.Count(got, "NARR") != 2 {
		t.Error(got)
	}
	r.want("nothing moved", r.balances(), "10000 100 0 0")
	if got := r.post(sheet(2, 1000, 150)); strings.Count(got, "ACSC") != 3 {
		t.Error(got)
	}
	r.want("all of it", r.balances(), "9000 -50 1150 0")
}

func TestLiquidityTransfersAreReceipted(t *testing.T) {
	r := start(t, "")
	h := heading("M-1")
	d, err := iso20022.LiquidityTransfer(h, iso20022.Liquidity{ID: "L-1", From: party("A-PRE"), To: party("SETTLEMENT-1"), Amount: tongma.Money{Minor: 500, Currency: tongma.CNY}})
	r.want("cover", r.post(wrap(t, h, d, err)), "200 =ACSC")
	r.want("books", r.balances(), "10000 100 0 500")
	d, err = iso20022.LiquidityTransfer(heading("M-2"), iso20022.Liquidity{ID: "L-2", From: party("A-PRE"), To: party("SETTLEMENT-1"), Amount: tongma.Money{Minor: 1, Currency: tongma.CNY}})
	r.want("no more", r.post(wrap(t, h, d, err)), "200 =RJCT AM04")
	r.want("by its own id", r.ask("L-2"), "200 L-2=RJCT AM04")
}

// TestFaults plants each fault of orders and tells what the switch sees, and what
// the books of the agent say afterwards.
func TestFaults(t *testing.T) {
	for _, c := range []struct {
		fault              Fault
		first, then, books string
	}{
		{Fault{Kind: Reject, Code: "AC06"}, "200 I-1=RJCT AC06", "200 I-1=RJCT AC06", "10000 100 0 0"},
		{Fault{Kind: Partial, Minor: 200}, "200 I-1=ACWC", "200 I-1=ACWC", "9800 100 0 200"},
		{Fault{Kind: Late, DelayMillis: 1000}, "202 I-1=PDNG", "200 I-1=ACSC", "7000 100 0 3000"},
		{Fault{Kind: Never}, "202 I-1=PDNG", "202 I-1=PDNG", "10000 100 0 0"},
		{Fault{Kind: Silent}, "no answer", "200 I-1=ACSC", "7000 100 0 3000"},
		{Fault{Kind: Deaf}, "no answer", "200 I-1=ACSC", "7000 100 0 3000"},
		{Fault{Kind: Double}, "200 I-1=ACSC", "200 I-1=ACSC", "4000 100 0 6000"},
		{Fault{Kind: WrongAmount, Minor: -1}, "200 I-1=ACSC", "200 I-1=ACSC", "7001 100 0 2999"},
		{Fault{Kind: LateValue, Days: 2}, "200 I-1=ACSC", "200 I-1=ACSC", "7000 100 0 3000"},
	} {
		t.Run(string(c.fault.Kind), func(t *testing.T) {
			r := start(t, "")
			c.fault.Account = "A-1"
			r.plant(c.fault)
			m := transfers(t, "M-1", in("I-1", "+bank-a", 3000))
			r.want("others go on", r.post(transfers(t, "M-0", in("I-0", "+bank-b", 1))), "200 I-0=ACSC")
			r.want("pay it back", r.post(transfers(t, "M-B", in("I-B", "-bank-b", 1))), "200 I-B=ACSC")
			r.want("first", r.post(m), c.first)
			if c.fault.Kind == Deaf {
				r.want("nothing was taken", r.ask("I-1"), "404")
			}
			r.wait(2 * time.Second)
			r.want("then", r.post(m), c.then)
			r.want("books", r.balances(), c.books)
			if len(r.Faults()) != 0 {
				t.Error("the fault is not used up")
			}
		})
	}
}

func (r *rig) statement(account string) *iso20022.Message {
	r.t.Helper()
	code, data, _, err := r.call("GET", "/v1/statements/"+account+"/2026-11-23?currency=CNY", nil)
	if err != nil || code != 200 {
		r.t.Fatal(code, err, string(data))
	}
	m, err := iso20022.Read(data)
	if err != nil {
		r.t.Fatal(err)
	}
	return m
}

func TestStatementsSayWhatWasBooked(t *testing.T) {
	r := start(t, "")
	r.plant(Fault{Kind: Double, Account: "A-1"})
	r.plant(Fault{Kind: LateValue, Account: "B-1", Days: 2})
	r.post(transfers(t, "M-1", in("I-1", "+bank-a", 3000), in("I-2", "+bank-b", 20)))
	r.wait(24 * time.Hour)
	next := heading("M-2")
	next.Date.Day++
	d, err := iso20022.CreditTransfers(next, []clearing.Instruction{in("I-3", "-bank-c", 7)})
	r.post(wrap(t, next, d, err))
	s := r.statement("SETTLEMENT-1").Statements[0]
	if len(s.Entries) != 3 || s.Closing.Amount.Minor != 6020 || s.Entries[0].Details[0].EndToEnd != "I-1" || s.Entries[1].Details[0].EndToEnd != "I-1" ||
		s.Entries[0].AgentRef == s.Entries[1].AgentRef || s.Entries[2].ValueDate.String() != "2026-11-25" || !s.Entries[0].Credit {
		t.Errorf("%+v", s)
	}
	if c := r.statement("A-1").Statements[0]; c.Closing.Amount.Minor != 4000 || len(c.Entries) != 3 {
		t.Errorf("%+v", c)
	}
	code, data, h, err := r.call("GET", "/v1/notifications?after=0", nil)
	m, bad := iso20022.Read(data)
	if err != nil || bad != nil || code != 200 || len(m.Advices) != 1 || len(m.Advices[0].Entries) != 4 || h.Get(NextHeader) != "7" {
		t.Fatalf("%d %v %v %+v %v", code, err, bad, m, h)
	}
	if code, _, _, _ := r.call("GET", "/v1/notifications?after=7", nil); code != http.StatusNoContent {
		t.Error(code)
	}
	_, data, _, _ = r.call("GET", "/v1/notifications?instruction=I-2", nil)
	if m, err := iso20022.Read(data); err != nil || len(m.Advices[0].Entries) != 1 || m.Advices[0].Entries[0].Amount.Minor != 20 {
		t.Errorf("%v %+v", err, m)
	}
}

func TestStatementFaults(t *testing.T) {
	r := start(t, "")
	r.post(transfers(t, "M-1", in("I-1", "+bank-a", 3000), in("I-2", "+bank-b", 20)))
	r.plant(Fault{Kind: StatementMissing, Account: "SETTLEMENT-1", Times: 1})
	if s := r.statement("SETTLEMENT-1").Statements; len(s) != 1 || len(s[0].Entries) != 1 || s[0].Closing.Amount.Minor != 3000 {
		t.Errorf("%+v", s)
	}
	r.plant(Fault{Kind: StatementTwice, Account: "SETTLEMENT-1"})
	if s := r.statement("SETTLEMENT-1").Statements; len(s) != 2 || len(s[1].Entries) != 1 || s[0].ID == s[1].ID {
		t.Errorf("%+v", s)
	}
	r.plant(Fault{Kind: StatementLate, DelayMillis: 5000})
	code, _, h, _ := r.call("GET", "/v1/statements/A-1/2026-11-23?currency=CNY", nil)
	if code != 404 || h.Get("Retry-After") != "5" {
		t.Error(code, h)
	}
	r.wait(5 * time.Second)
	r.statement("A-1")
	if code, _, _, err := r.as(admin, "DELETE", "/admin/faults", "application/json", nil); code != 200 || err != nil || len(r.Faults()) != 0 {
		t.Error(code, err)
	}
	if s := r.statement("SETTLEMENT-1").Statements; len(s) != 1 || len(s[0].Entries) != 2 {
		t.Errorf("%+v", s)
	}
}

// TestARestartKeepsWhatWasAnswered stops the agent after each answer, starts it
// anew on its file, and finds the same books; then it cuts the file at every byte
// of its last line.
func TestARestartKeepsWhatWasAnswered(t *testing.T) {
	r := start(t, filepath.Join(t.TempDir(), "agent.log"))
	r.plant(Fault{Kind: Late, Account: "B-1", DelayMillis: 1000})
	r.plant(Fault{Kind: Silent, Account: "A-1", Times: 2})
	steps := [][]byte{transfers(t, "M-1", in("I-1", "+bank-a", 3000)), transfers(t, "M-2", in("I-2", "+bank-b", 20)), transfers(t, "M-3", in("I-3", "-bank-c", 2000))}
	for _, m := range steps {
		first := r.post(m)
		before, _ := r.Accounts()
		faults := r.Faults()
		r.stop()
		r.boot()
		after, _ := r.Accounts()
		if fmt.Sprint(before, faults) != fmt.Sprint(after, r.Faults()) {
			t.Fatalf("%v %v\n%v %v", before, faults, after, r.Faults())
		}
		if second := r.post(m); second != first {
			t.Errorf("%s, after a restart %s", first, second)
		}
	}
	r.wait(time.Second)
	r.want("late", r.ask("I-2"), "200 I-2=ACSC")
	r.stop()
	whole, err := os.ReadFile(r.path)
	if err != nil {
		t.Fatal(err)
	}
	last := bytes.LastIndexByte(whole[:len(whole)-1], '\n') + 1
	for cut := last; cut < len(whole); cut++ {
		if err := os.WriteFile(r.path, whole[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		b := newBank()
		f, err := openFile(r.path, b.apply)
		if err != nil || f.size != int64(last) {
			t.Fatalf("cut at %d of %d: %v", cut, len(whole), err)
		}
		_ = f.close()
	}
	for _, at := range []int{3, 40, last - 3} {
		bad := bytes.Clone(whole)
		bad[at] ^= 1
		if err := os.WriteFile(r.path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := New(Options{Path: r.path, Token: token}); tongma.ReasonOf(err) != tongma.SetupInvalid {
			t.Errorf("a changed byte at %d: %v", at, err)
		}
	}
	if err := os.WriteFile(r.path, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	r.boot()
}

func TestTheOperatorsDoor(t *testing.T) {
	r := start(t, "")
	do := func(method, path, body string) (int, string) {
		code, data, _, err := r.as(admin, method, path, "application/json", []byte(body))
		if err != nil {
			t.Fatal(err)
		}
		return code, string(data)
	}
	if code, data := do("PUT", "/admin/accounts", `{"id":"GB82WEST12345698765432","currency":"EUR","kind":"guarantee","balance_minor":700,"key":"K-1"}`); code != 200 || !strings.Contains(data, "OWN-EUR") {
		t.Error(code, data)
	}
	do("PUT", "/admin/accounts", `{"id":"GB82WEST12345698765432","currency":"EUR","kind":"guarantee","balance_minor":700,"key":"K-1"}`)
	for range 2 {
		if code, data := do("POST", "/admin/fund", `{"key":"K-2","account":"GB82WEST12345698765432","currency":"EUR","amount_minor":-100}`); code != 200 {
			t.Error(code, data)
		}
	}
	if got := r.Balance("GB82WEST12345698765432", tongma.EUR); got != 600 {
		t.Error(got)
	}
	for body, want := range map[string]int{
		`{"key":"K-2","account":"A-1","currency":"CNY","amount_minor":5}`:                           409,
		`{"key":"K-3","account":"A-1","currency":"CNY","amount_minor":-10001}`:                      409,
		`{"key":"K-3","account":"NONE","currency":"CNY","amount_minor":1}`:                          400,
		`{"key":"K-3","account":"A-1","currency":"CNY","amount_minor":0}`:                           400,
		`{"key":"K-3","account":"A-1","currency":"CNY","amount":1}`:                                 400,
		`{"key":"K-3","account":"A-1","currency":"CNY","amount_minor":9223372036854775807}`:         400,
		`{"key":"` + strings.Repeat("k", 70_000) + `","account":"A-1","currency":"CNY","amount":1}`: 400,
	} {
		if code, data := do("POST", "/admin/fund", body); code != want {
			t.Errorf("%.80s: %d %s", body, code, data)
		}
	}
	for _, body := range []string{`{"kind":"no"}`, `{"kind":"late","delay_millis":-1}`, `{"kind":"reject","times":-1}`, `[]`, ``} {
		if code, _ := do("POST", "/admin/faults", body); code != 400 {
			t.Errorf("%s: %d", body, code)
		}
	}
	if _, data := do("GET", "/admin/movements?after=3", ""); !json.Valid([]byte(data)) || strings.Count(data, `"number"`) != 2 {
		t.Error(data)
	}
}

func TestNobodyComesInWithoutTheToken(t *testing.T) {
	r := start(t, "")
	for _, c := range [][3]string{{"", "GET", "/v1/status/I-1"}, {admin, "GET", "/v1/status/I-1"}, {token, "GET", "/admin/accounts"}, {token + "x", "GET", "/v1/status/I-1"}, {token[:10], "POST", "/v1/messages"}} {
		if code, _, _, err := r.as(c[0], c[1], c[2], "application/xml", nil); err != nil || code != http.StatusUnauthorized {
			t.Errorf("%v: %d %v", c, code, err)
		}
	}
	for _, o := range []Options{{}, {Token: "short"}, {Token: token, Admin: token}} {
		if _, err := New(o); tongma.ReasonOf(err) != tongma.SetupInvalid {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

func TestBadMessagesMoveNothing(t *testing.T) {
	r := start(t, "")
	good := transfers(t, "M-1", in("I-1", "+bank-a", 3000))
	bare, _ := bytes.CutPrefix(good, []byte("no"))
	for name, c := range map[string]struct {
		kind string
		body []byte
		want int
	}{
		"nothing":             {"application/xml", nil, 400},
		"JSON":                {"application/json", good, 415},
		"no kind":             {"", good, 415},
		"half of it":          {"application/xml", good[:len(good)/2], 400},
		"too much":            {"application/xml", bytes.Repeat([]byte(" "), iso20022.MaxBytes+1), 413},
		"another sum":         {"application/xml", bytes.Replace(bare, []byte(">30.00</IntrBk"), []byte(">30.01</IntrBk"), 1), 400},
		"a bomb":              {"application/xml", []byte(`<!DOCTYPE x [<!ENTITY a "b">]><Document>&a;</Document>`), 400},
		"without its header":  {"application/xml", good[bytes.Index(good, []byte("<Document")):bytes.Index(good, []byte("</Doc>"))], 400},
		"with another header": {"application/xml", bytes.Replace(good, []byte("<BizMsgIdr>M-1"), []byte("<BizMsgIdr>M-2"), 1), 400},
	} {
		code, data, _, err := r.as(token, "POST", "/v1/messages", c.kind, c.body)
		if err != nil || code != c.want || !json.Valid(data) {
			t.Errorf("%s: %d %v %s", name, code, err, data)
		}
	}
	r.want("books", r.balances(), "10000 100 0 0")
}

// TestManyAtOnceMoveEachInstructionOnce sends the same instructions from many
// goroutines: the money is short, so that some are refused, and all hear the same.
func TestManyAtOnceMoveEachInstructionOnce(t *testing.T) {
	r := start(t, "")
	const n = 24
	var group sync.WaitGroup
	answers := [n]sync.Map{}
	for g := range 4 {
		group.Go(func() {
			for i := range n {
				at := (i + g*6) % n
				answers[at].Store(r.post(transfers(t, fmt.Sprint("M-", at), in(fmt.Sprint("I-", at), "+bank-b", 10))), true)
			}
		})
	}
	group.Wait()
	settled := 0
	for i := range answers {
		kinds := 0
		answers[i].Range(func(k, _ any) bool {
			kinds++
			settled += strings.Count(k.(string), "ACSC")
			return true
		})
		if kinds != 1 {
			t.Errorf("I-%d has %d different answers", i, kinds)
		}
	}
	if settled != 15 || r.balances() != "10000 -50 0 150" {
		t.Error(settled, r.balances())
	}
}

func TestASecondWriterStopsTheFirst(t *testing.T) {
	path := filepath.Join(t.TempDir(), "agent.log")
	first, err := New(Options{Path: path, Token: token, Accounts: market})
	if err != nil {
		t.Fatal(err)
	}
	second, err := New(Options{Path: path, Token: token, Accounts: market})
	if err != nil {
		t.Fatal(err)
	}
	if err := second.Fund("K", "A-1", "CNY", 1); err != nil {
		t.Fatal(err)
	}
	if err := first.Fund("K", "A-1", "CNY", 1); tongma.ReasonOf(err) != tongma.JournalStopped {
		t.Error(err)
	}
	if err := errors.Join(first.Close(t.Context()), second.Close(t.Context())); err != nil {
		t.Error(err)
	}
}

func TestTokensComeFromAFileThatIsClosedToOthers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	for mode, want := range map[os.FileMode]bool{0o600: true, 0o644: false} {
		if err := errors.Join(os.WriteFile(path, []byte(token+"\n"), 0o600), os.Chmod(path, mode)); err != nil {
			t.Fatal(err)
		}
		if got, err := ReadToken(path); (err == nil) != want || (want && got != token) {
			t.Errorf("%o: %q %v", mode, got, err)
		}
	}
}
