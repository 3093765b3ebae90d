package office

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
	"github.com/tongma/tongma/clearing/iso20022"
	"github.com/tongma/tongma/clearing/recon"
)

// csvFile is a participant's file of lines without the header.
func csvFile(sender tongma.ParticipantID, lines ...string) ReconFile {
	text := recon.Header + "\n" + strings.Join(append(lines, ""), "\n")
	return ReconFile{Name: string(sender) + ".csv", Sender: sender, Body: strings.NewReader(text), Size: int64(len(text))}
}

func row(id tongma.PaymentID, ref, amount string, w tongma.WindowID) string {
	return fmt.Sprintf("%s,%s,pay,approved,%s,THB,,%d,,", id, ref, amount, w)
}

// close ends the open window, of the default model or of the one given, and
// instructs the agent.
func (m *market) close(model ...string) clearing.Sheet {
	m.t.Helper()
	w := m.write(clearing.Entry{Kind: clearing.KindClose, Model: strings.Join(model, "")}).Window
	var s clearing.Sheet
	if err := m.ledger.Read(context.Background(), func(b *clearing.Book) { s, _ = b.Sheet(w) }); err != nil {
		m.t.Fatal(err)
	}
	m.write(clearing.Entry{Kind: clearing.KindInstruct, Window: w, Hash: s.Hash})
	m.now = m.now.Add(time.Minute)
	return s
}

// settle books the agent's confirmation of every leg.
func (m *market) settle(s clearing.Sheet) {
	m.t.Helper()
	for _, in := range clearing.Instruct(s) {
		m.write(in.Confirm())
	}
	m.write(clearing.Entry{Kind: clearing.KindSettled, Window: s.Window})
}

func (m *market) reconcile(in Reconciliation) ReconReport {
	m.t.Helper()
	r, err := m.Reconcile(m.t.Context(), in)
	if err != nil {
		m.t.Fatal(err)
	}
	return r
}

func kindsOf(breaks []recon.Break) (out []string) {
	for _, b := range breaks {
		state := ""
		if !b.Open() {
			state = " " + string(b.Resolution.How)
		}
		out = append(out, b.Kind.String()+" "+b.AtRisk.String()+state)
	}
	slices.Sort(out)
	return out
}

func sameKinds(t testing.TB, breaks []recon.Break, want ...string) {
	t.Helper()
	if got := kindsOf(breaks); !slices.Equal(got, want) {
		t.Fatalf("got %q, want %q", got, want)
	}
}

func TestParticipantsFilesAgainstTheJournal(t *testing.T) {
	m := newMarket(t, t.TempDir())
	a, b, c := m.pay(1250, "L1"), m.pay(8000, "L2"), m.pay(300, "L3")
	m.close()
	d := m.pay(700, "L4")
	m.close()
	var steps []string
	files := func() []ReconFile {
		return []ReconFile{csvFile("lotus", row(a, "L1", "12.50", 1), row(b, "L2", "80.01", 1), row(d, "L4", "7.00", 2)),
			csvFile("harbour", row(a, "", "12.50", 1), row(b, "", "80.00", 1), row(c, "", "3.00", 1), row(d, "", "7.00", 2))}
	}
	r := m.reconcile(Reconciliation{Files: files(), Progress: func(p Progress) { steps = append(steps, p.Step) }})
	sameKinds(t, r.Breaks, "AMOUNT 0.01 THB", "MISSING_AT_SCHEME 3.00 THB")
	if !slices.Equal(r.Windows, []tongma.WindowID{1, 2}) || r.New != 2 || r.Inputs[0].Known || r.Inputs[1].Rows != 4 || r.Head != m.next()-1 {
		t.Fatalf("%+v", r)
	}
	for _, s := range []string{"reading", "journal", "comparing", "saving"} {
		if !slices.Contains(steps, s) {
			t.Errorf("no progress of %s", s)
		}
	}
	again := m.reconcile(Reconciliation{Files: files()})
	if again.New != 0 || again.Seen != 2 || !again.Inputs[0].Known {
		t.Fatalf("a file that comes again: %+v", again)
	}
	m.now = m.now.Add(72 * time.Hour)
	open, err := m.Breaks(BreakFilter{State: "open", Participant: "lotus", Age: 72 * time.Hour, AtRisk: 2})
	if err != nil {
		t.Fatal(err)
	}
	sameKinds(t, open, "MISSING_AT_SCHEME 3.00 THB")
	table := BreakTable(open, m.now)
	if len(table) != 2 || table[1][9] != "3 d" || table[1][10] != "open" {
		t.Fatal(table)
	}
	var asJSON, asCSV bytes.Buffer
	if again.WriteJSON(&asJSON) != nil || !json.Valid(asJSON.Bytes()) || again.WriteCSV(&asCSV) != nil || strings.Count(asCSV.String(), "\n") != 3 {
		t.Fatal(asCSV.String())
	}
	if sum := SummaryTable(again.Summary); len(sum) != 3 {
		t.Fatal(sum)
	}
}

func TestRowsOfOtherWindowsAreNotLost(t *testing.T) {
	m := newMarket(t, t.TempDir())
	a := m.pay(1250, "L1")
	m.close()
	b := m.pay(700, "L2")
	m.close()
	r := m.reconcile(Reconciliation{Windows: []tongma.WindowID{1}, Files: []ReconFile{csvFile("lotus", row(a, "", "12.50", 1), row(b, "", "7.00", 2))}})
	if sameKinds(t, r.Breaks); r.Inputs[0].Beside != 1 {
		t.Fatalf("%+v", r.Inputs)
	}
	// a window that does not exist is a break, not a row less
	r = m.reconcile(Reconciliation{Files: []ReconFile{csvFile("lotus", row(a, "", "12.50", 1), row(b, "", "7.00", 99))}})
	sameKinds(t, r.Breaks, "WINDOW 7.00 THB")
	for _, w := range []tongma.WindowID{3, 4} {
		_, err := m.Reconcile(t.Context(), Reconciliation{Windows: []tongma.WindowID{w}, Files: []ReconFile{csvFile("lotus")}})
		wants(t, err, map[tongma.WindowID]tongma.Reason{3: tongma.WindowNotClosed, 4: tongma.WindowUnknown}[w])
	}
}

// statement is a camt.053 of the settlement account.
func (m *market) statement(id string, opening int64, day int, entries ...iso20022.Entry) ReconFile {
	m.t.Helper()
	date := iso20022.Date{Year: 2026, Month: 11, Day: day}
	s := iso20022.Statement{ID: id, Account: iso20022.Account{Other: "SETTLEMENT-THB"}, Currency: tongma.THB, Entries: entries,
		Opening: iso20022.Balance{Amount: thb(opening), Date: date}, Closing: iso20022.Balance{Amount: thb(opening), Date: date}}
	for i := range entries {
		if entries[i].Booked {
			s.Closing.Amount.Minor += entries[i].Signed().Minor
		}
	}
	doc, err := iso20022.StatementReport(id, m.now, []iso20022.Statement{s})
	if err != nil {
		m.t.Fatal(err)
	}
	return ReconFile{Name: id + ".xml", Body: bytes.NewReader(doc.XML)}
}

// booked is an entry of one instruction.
func booked(n, day int, in clearing.Instruction, minor int64) iso20022.Entry {
	date := iso20022.Date{Year: 2026, Month: 11, Day: day}
	amount := thb(minor)
	return iso20022.Entry{Reference: fmt.Sprint("N", n), Amount: amount, Credit: in.Debit, Booked: true, Status: "BOOK", BookingDate: date, ValueDate: date,
		AgentRef: fmt.Sprint("AGENT", n), Details: []iso20022.Detail{{EndToEnd: in.ID, UETR: iso20022.UETR(in.ID), Amount: amount, Credit: in.Debit}}}
}

func TestTheAgentsStatementAgainstTheInstructions(t *testing.T) {
	dir := t.TempDir()
	m := newMarket(t, dir)
	m.pay(1250, "L1")
	s1 := m.close()
	in := clearing.Instruct(s1)
	m.settle(s1)
	// the agent has collected and paid, and reports it in two messages
	first := m.reconcile(Reconciliation{Files: []ReconFile{m.statement("ST1", 0, 23, booked(1, 23, in[0], 1250))}})
	sameKinds(t, first.Breaks, "UNPAID_NET 12.50 THB") // the credit
	m.now = m.now.Add(24 * time.Hour)
	second := m.reconcile(Reconciliation{Files: []ReconFile{m.statement("ST2", 1250, 24, booked(2, 24, in[1], 1250))}})
	sameKinds(t, second.Breaks)
	if second.Ended != 1 {
		t.Fatalf("%+v", second)
	}
	// the next window is paid short, and somebody's money turns up
	m.pay(8000, "L2")
	s2 := m.close()
	in = clearing.Instruct(s2)
	m.now = m.now.Add(24 * time.Hour)
	third := m.reconcile(Reconciliation{Files: []ReconFile{m.statement("ST3", 0, 25, booked(3, 25, in[0], 7000), booked(4, 25, clearing.Instruction{ID: "OTHER", Debit: true}, 1000))}})
	sameKinds(t, third.Breaks, "PARTIAL 10.00 THB", "UNEXPECTED_ENTRY 10.00 THB", "UNPAID_NET 80.00 THB")
	if b := third.Breaks[0]; b.Window != 2 && b.Window != 0 {
		t.Fatalf("%+v", b)
	}
	// a day is missing: the balances do not meet
	m.now = m.now.Add(48 * time.Hour)
	fourth := m.reconcile(Reconciliation{Files: []ReconFile{m.statement("ST4", 9000, 27, booked(5, 27, in[1], 8000))}})
	if !slices.Contains(kindsOf(fourth.Breaks), "BALANCE 10.00 THB") {
		t.Fatalf("%q", kindsOf(fourth.Breaks))
	}
	// everything is there after a restart, and the same message is known
	m.Office = m.open(dir, m.Directory())
	open, err := m.Breaks(BreakFilter{State: "open"})
	if err != nil {
		t.Fatal(err)
	}
	again := m.reconcile(Reconciliation{Files: []ReconFile{m.statement("ST3", 0, 25, booked(3, 25, in[0], 7000), booked(4, 25, clearing.Instruction{ID: "OTHER", Debit: true}, 1000))}})
	if again.New != 0 || again.Ended != 0 || len(again.Breaks) != len(open) {
		t.Fatalf("%+v, open %q", again, kindsOf(open))
	}
}

// TestAStatementSaysNothingOfAnotherCurrency: of what the agent never reported on nobody
// is said not to have paid, but the report names it.
func TestAStatementSaysNothingOfAnotherCurrency(t *testing.T) {
	m := newMarket(t, t.TempDir())
	m.pay(1250, "L1")
	s := m.close()
	m.settle(s)
	whole, err := io.ReadAll(m.statement("S1", 0, 23).Body)
	if err != nil {
		t.Fatal(err)
	}
	other := ReconFile{Name: "cny.xml", Body: strings.NewReader(strings.ReplaceAll(string(whole), "THB", "CNY"))}
	r := m.reconcile(Reconciliation{Files: []ReconFile{other}})
	if sameKinds(t, r.Breaks); !slices.Equal(r.Unreported, []string{"THB"}) {
		t.Errorf("%+v", r.Unreported)
	}
	r = m.reconcile(Reconciliation{Files: []ReconFile{m.statement("S2", 0, 23)}})
	if sameKinds(t, r.Breaks, "UNPAID_NET 12.50 THB", "UNPAID_NET 12.50 THB"); r.Unreported != nil {
		t.Errorf("%+v", r.Unreported)
	}
}

func TestEntriesOfAStatementAreOneEachTransaction(t *testing.T) {
	date := iso20022.Date{Year: 2026, Month: 11, Day: 23}
	entries := []iso20022.Entry{
		{Amount: thb(500), Credit: true, Booked: true, AgentRef: "A1", ValueDate: date, Details: []iso20022.Detail{
			{EndToEnd: "X", Amount: thb(300), Credit: true, AgentRef: "D1"}, {EndToEnd: "Y", Amount: thb(150), Credit: true}}},
		{Amount: thb(900), Credit: true, Status: "PDNG"},
		{Amount: thb(70), Booked: true, Reference: "N3"},
	}
	got := bankEntries(entries)
	if len(got) != 4 || got[0].Ref != "D1" || got[0].Amount != thb(300) || got[1].Ref != "A1" || got[1].EndToEndID != "Y" ||
		got[2].EndToEndID != "" || got[2].Amount != thb(50) || got[2].Debit || !got[3].Debit || got[3].Ref != "N3" {
		t.Fatalf("%+v", got)
	}
	sum := int64(0)
	for _, e := range got {
		if e.Debit {
			sum -= e.Amount.Minor
		} else {
			sum += e.Amount.Minor
		}
	}
	if sum != 430 {
		t.Fatal(sum)
	}
}

// TestAParticipantMaySendAStatement: rows without kind and window find theirs.
func TestAParticipantMaySendAStatement(t *testing.T) {
	m := newMarket(t, t.TempDir())
	a, b := m.pay(1250, "L1"), m.pay(8000, "L2")
	m.close()
	c := m.pay(300, "L3")
	m.close()
	entry := func(n int, id tongma.PaymentID, minor int64) iso20022.Entry {
		return booked(n, 23, clearing.Instruction{ID: id.String(), Debit: true}, minor)
	}
	f := m.statement("HARBOUR", 0, 23, entry(1, a, 1250), entry(2, b, 8001), entry(3, c, 300))
	f.Sender = "harbour"
	r := m.reconcile(Reconciliation{Windows: []tongma.WindowID{1, 2}, Files: []ReconFile{f}})
	sameKinds(t, r.Breaks, "AMOUNT 0.01 THB")
}

func TestABreakIsResolvedOnceByAPersonAndKept(t *testing.T) {
	dir := t.TempDir()
	m := newMarket(t, dir)
	m.pay(1250, "L1")
	m.close()
	r := m.reconcile(Reconciliation{Windows: []tongma.WindowID{1}, Files: []ReconFile{csvFile("lotus")}})
	id := r.Breaks[0].ID
	res := BreakResolution{Break: id, How: Corrected, Entry: m.next() - 1, By: "mei", Note: "refunded to the payer"}
	for reason, bad := range map[string]func(r *BreakResolution){
		"field-invalid no way":    func(r *BreakResolution) { r.How = "" },
		"field-invalid no entry":  func(r *BreakResolution) { r.Entry = 0 },
		"field-invalid explained": func(r *BreakResolution) { r.How = Explained },
		"field-invalid future":    func(r *BreakResolution) { r.Entry = m.next() },
		"field-invalid nobody":    func(r *BreakResolution) { r.By = " " },
		"field-invalid no note":   func(r *BreakResolution) { r.Note = "" },
		"break-unknown not there": func(r *BreakResolution) { r.Break = "brk_00" },
	} {
		other := res
		bad(&other)
		_, err := m.Resolve(t.Context(), other)
		if want, _, _ := strings.Cut(reason, " "); tongma.ReasonOf(err).String() != want {
			t.Errorf("%s: %v", reason, err)
		}
	}
	dry := res
	dry.DryRun = true
	if b, err := m.Resolve(t.Context(), dry); err != nil || b.Open() {
		t.Fatal(b, err)
	}
	if open, _ := m.Breaks(BreakFilter{State: "open"}); len(open) != 1 {
		t.Fatal("a dry run resolved it")
	}
	if _, err := m.Resolve(t.Context(), res); err != nil {
		t.Fatal(err)
	}
	m.Office = m.open(dir, m.Directory())
	ended, err := m.Breaks(BreakFilter{State: "ended"})
	if err != nil || len(ended) != 1 || ended[0].Resolution.By != "mei" || ended[0].Resolution.Reason != "corrected: refunded to the payer" {
		t.Fatalf("%+v, %v", ended, err)
	}
	res.Note = "another story"
	_, err = m.Resolve(t.Context(), res)
	wants(t, err, tongma.StateConflict)
}

func TestADryReconciliationKeepsNothing(t *testing.T) {
	dir := t.TempDir()
	m := newMarket(t, dir)
	m.pay(1250, "L1")
	in := clearing.Instruct(m.close())
	r := m.reconcile(Reconciliation{Windows: []tongma.WindowID{1}, DryRun: true,
		Files: []ReconFile{csvFile("lotus"), m.statement("ST1", 0, 23, booked(1, 23, in[0], 1250))}})
	if sameKinds(t, r.Breaks, "MISSING_AT_SCHEME 12.50 THB", "UNPAID_NET 12.50 THB"); !r.DryRun {
		t.Fatal(r)
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Fatal(left)
	}
	if open, err := m.Breaks(BreakFilter{}); err != nil || len(open) != 0 {
		t.Fatal(open, err)
	}
}

// TestACrashBetweenMessageAndRegister: the message is on disk, the run is not. The
// next run takes it in.
func TestACrashBetweenMessageAndRegister(t *testing.T) {
	dir := t.TempDir()
	m := newMarket(t, dir)
	m.pay(1250, "L1")
	in := clearing.Instruct(m.close())
	f := m.statement("ST1", 0, 23, booked(1, 23, in[0], 1250))
	data, err := readMessage(f.Body)
	if err != nil {
		t.Fatal(err)
	}
	hash := hashOf(data)
	if err := m.Office.recon.keep(agentFile{hash: hash}, data); err != nil {
		t.Fatal(err)
	}
	m.Office = m.open(dir, m.Directory())
	m.now = m.now.Add(time.Minute)
	r := m.reconcile(Reconciliation{Files: []ReconFile{m.statement("ST2", 1250, 23, booked(2, 23, in[1], 1250))}})
	sameKinds(t, r.Breaks)
	// a message that was changed on disk is refused
	name := filepath.Join(dir, "recon", "agent", hex.EncodeToString(hash[:])+".xml")
	if err := os.WriteFile(name, append(data, ' '), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = New(m.Office.Options)
	wants(t, err, tongma.SetupInvalid)
}

func TestAMalformedFileIsRefusedWhole(t *testing.T) {
	dir := t.TempDir()
	m := newMarket(t, dir)
	m.pay(1250, "L1")
	m.close()
	bad := csvFile("lotus", "x,y")
	_, err := m.Reconcile(t.Context(), Reconciliation{Windows: []tongma.WindowID{1}, Files: []ReconFile{bad}})
	if err == nil || !strings.Contains(err.Error(), "line 2") || !strings.Contains(err.Error(), "no money moved") {
		t.Fatal(err)
	}
	for _, f := range []ReconFile{{Name: "a", Body: strings.NewReader("<x/>")}, {Name: "b", Body: strings.NewReader("")}, {Name: "c", Sender: "lotus", Body: strings.NewReader("<x/>")},
		{Name: "d", Sender: "nobody", Body: strings.NewReader("")}} {
		if _, err := m.Reconcile(t.Context(), Reconciliation{Windows: []tongma.WindowID{1}, Files: []ReconFile{f}}); err == nil {
			t.Errorf("%s was taken", f.Name)
		}
	}
	agent := m.statement("S1", 0, 24).Body
	whole, err := io.ReadAll(agent)
	if err != nil {
		t.Fatal(err)
	}
	for says, text := range map[string]string{ // which file, where in it, and what is wrong
		"/files/agent.xml, element /Document": strings.ReplaceAll(string(whole), "camt.053.001.08", "camt.053.001.99"),
		"another namespace than expected":     strings.ReplaceAll(string(whole), "camt.053.001.08", "camt.053.001.99"),
		"not well-formed XML in UTF-8":        string(whole[:len(whole)/2]),
		"currency is not in ISO 4217":         strings.ReplaceAll(string(whole), `Ccy="THB"`, `Ccy="ZZZ"`),
		"/files/agent.xml at":                 string(whole[:len(whole)/2]),
		"required element is missing":         "<html></html>",
	} {
		_, err := m.Reconcile(t.Context(), Reconciliation{Files: []ReconFile{{Name: "agent.xml", Body: strings.NewReader(text)}}})
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want %s", err, says)
		}
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Fatal(left)
	}
	_, err = newMarket(t, "").Reconcile(t.Context(), Reconciliation{Files: []ReconFile{bad}})
	wants(t, err, tongma.SetupInvalid)
}

// BenchmarkReconcile runs a million payments, in a journal of two million entries,
// against a file of a million rows.
func BenchmarkReconcile(b *testing.B) {
	const n = 1_000_000
	m := newMarket(b, b.TempDir())
	m.write(clearing.Entry{Kind: clearing.KindCap, Debtor: "lotus", Amount: thb(1 << 50)})
	lines := []string{}
	done := make(chan struct{}, 512)
	for i := range n {
		id := m.id()
		lines = append(lines, row(id, fmt.Sprint("L", i), "1.00", 1))
		done <- struct{}{}
		go func() {
			m.write(clearing.Entry{Kind: clearing.KindHold, Payment: id, Op: tongma.OpPay, Asker: "harbour", Key: id.String(), Debtor: "lotus", Creditor: "harbour", Scheme: "lotus", Amount: thb(100)})
			m.write(clearing.Entry{Kind: clearing.KindPost, Payment: id, SchemeRef: fmt.Sprint("L", i)})
			<-done
		}()
	}
	for range cap(done) {
		done <- struct{}{}
	}
	m.close()
	b.ResetTimer()
	for b.Loop() {
		r, err := m.Reconcile(b.Context(), Reconciliation{Files: []ReconFile{csvFile("lotus", lines...)}})
		if err != nil || len(r.Breaks) != 0 {
			b.Fatal(err, len(r.Breaks))
		}
	}
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}

// TestLegsAreWhatWasConfirmedAndWhatIsDue: parts, covers, value dates, and legs
// between two participants, which the settlement account never sees.
func TestLegsAreWhatWasConfirmedAndWhatIsDue(t *testing.T) {
	c := cycles{}
	for i, e := range []clearing.Entry{
		{Kind: clearing.KindClose, Window: 1, Model: "home", Cutoff: 1_000_000, ValueDate: 20261124},
		{Kind: clearing.KindInstruct, Window: 1},
		{Kind: clearing.KindSettle, Window: 1, Debtor: "lotus", SchemeRef: "I1", Amount: thb(700)},
		{Kind: clearing.KindShort, Window: 1, Debtor: "lotus", SchemeRef: "I2", Amount: thb(300)},
		{Kind: clearing.KindCover, Window: 1, Debtor: "lotus", Creditor: "fund", SchemeRef: "C1", Amount: thb(200)},
		{Kind: clearing.KindSettle, Window: 1, Debtor: "lotus", Creditor: "harbour", SchemeRef: "B1", Amount: thb(5)},
		{Kind: clearing.KindSettle, Window: 1, Creditor: "harbour", Amount: thb(5)},
		{Kind: clearing.KindClose, Window: 2},
	} {
		e.Number, e.Time = uint64(i+1), 1_000_000+int64(i)
		c.add(&e)
	}
	due := func(w tongma.WindowID) []clearing.Instruction {
		return []clearing.Instruction{{ID: "I3", Window: w, Participant: "lotus", Debtor: "lotus", Debit: true, Amount: thb(100)},
			{ID: "B2", Window: w, Participant: "lotus", Debtor: "lotus", Creditor: "harbour", Debit: true, Amount: thb(100)}}
	}
	var got []string
	for _, l := range c.legs(time.UnixMilli(2_000_000), due) {
		got = append(got, fmt.Sprint(l.ID, " ", l.Participant, " ", l.Amount, " ", l.Debit, " ", l.Due.Format(time.DateOnly), " ", l.UETR == iso20022.UETR(l.ID)))
	}
	want := []string{"I1 lotus 7.00 THB true 2026-11-24 true", "C1 fund 2.00 THB true 2026-11-24 true", "I3 lotus 1.00 THB true 2026-11-24 true"}
	if !slices.Equal(got, want) || c[1].model != "home" || c[1].cutoff.IsZero() || !c[2].value.IsZero() {
		t.Fatalf("%q", got)
	}
	if same := c.legs(time.UnixMilli(1_000_000), due); len(same) != 3 {
		t.Fatal("a statement of the second in which they were instructed may have them", same)
	}
	if early := c.legs(time.UnixMilli(999_000), due); len(early) != 0 {
		t.Fatal("a statement from before the instructions cannot have them", early)
	}
}

// TestASettlementAccountIsTheSwitchsOwn refuses the statement of another account.
func TestASettlementAccountIsTheSwitchsOwn(t *testing.T) {
	m := newMarket(t, t.TempDir())
	m.pay(1250, "L1")
	in := clearing.Instruct(m.close())
	d := directory(t, strings.Replace(marketYAML, "schemes:", `
agents:
  - id: river
    name: River Bank
    bic: RVBKTHBK
    currencies: [THB]
    switch: {name: Tongma, number: "4711", accounts: {THB: {account: ANOTHER}}}
schemes:`, 1))
	m.Office = m.open(m.Data, d)
	_, err := m.Reconcile(t.Context(), Reconciliation{Files: []ReconFile{m.statement("ST1", 0, 23, booked(1, 23, in[0], 1250))}})
	wants(t, err, tongma.FieldInvalid)
}
