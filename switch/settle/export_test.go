package settle

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
	"github.com/tongma/tongma/clearing/iso20022"
	"github.com/tongma/tongma/schemes"
)

var exported = time.Date(2026, 11, 23, 15, 0, 5, 0, time.UTC)

// lint validates the document of each envelope against its published schema.
func lint(t *testing.T, files []File) {
	t.Helper()
	tool, err := exec.LookPath("xmllint")
	if err != nil {
		fmt.Fprintln(os.Stderr, "settle: xmllint is not installed (Debian: libxml2-utils): exports are read back, but NOT validated against the schemas")
		return
	}
	for _, f := range files {
		for part, tag := range map[string]string{"Hdr": "AppHdr", "Doc": "Document"} {
			_, doc, _ := bytes.Cut(f.Body, []byte("<"+part+">\n"))
			doc, _, _ = bytes.Cut(doc, []byte("</"+part+">"))
			_, def, ok := bytes.Cut(doc, []byte("<"+tag+` xmlns="urn:iso:std:iso:20022:tech:xsd:`))
			if !ok {
				t.Fatalf("%s has no %s", f.Name, tag)
			}
			name, _, _ := bytes.Cut(def, []byte(`"`))
			path := filepath.Join(t.TempDir(), part+".xml")
			if err := os.WriteFile(path, doc, 0o600); err != nil {
				t.Fatal(err)
			}
			schema := filepath.Join("..", "..", "clearing", "iso20022", "testdata", "xsd", string(name)+".xsd")
			if out, err := exec.Command(tool, "--nonet", "--noout", "--schema", schema, path).CombinedOutput(); err != nil {
				t.Errorf("%s: %v\n%s", f.Name, err, out)
			}
		}
	}
}

// TestASheetIsExportedAsISO20022: every transfer as a message of its own, the one with
// a mandate as a direct debit, and the whole; all of them say what the sheet says.
func TestASheetIsExportedAsISO20022(t *testing.T) {
	for _, mandates := range []bool{false, true} {
		r := newRig(t, &market{banks: banks("abc"), balance: rich("ab"), mandates: mandates})
		r.pay("a>c", 500)
		r.pay("b>c", 300)
		if _, err := ISO20022(r.sheet(1), r.dir, exported); tongma.ReasonOf(err) != tongma.WindowNotClosed {
			t.Error(err)
		}
		s := r.sheet(r.closeWindow())
		files, err := ISO20022(s, r.dir, exported)
		if err != nil || len(files) != 4 {
			t.Fatalf("%d files, %v", len(files), err)
		}
		lint(t, files)
		kinds := map[iso20022.Definition]int64{}
		for _, f := range files {
			o, err := iso20022.ReadOrder(f.Body)
			if err != nil {
				t.Fatalf("%s: %v", f.Name, err)
			}
			for _, l := range o.Legs {
				kinds[o.Definition] += l.Amount.Minor
			}
		}
		want := map[iso20022.Definition]int64{iso20022.Pacs009: 1600, iso20022.Pacs029: 1600}
		if mandates {
			want = map[iso20022.Definition]int64{iso20022.Pacs009: 800, iso20022.Pacs010: 800, iso20022.Pacs029: 1600}
		}
		if fmt.Sprint(kinds) != fmt.Sprint(want) {
			t.Errorf("%v, want %v", kinds, want)
		}
		again, _ := ISO20022(s, r.dir, exported)
		if fmt.Sprint(again) != fmt.Sprint(files) {
			t.Error("the same sheet gives other files")
		}
		r.settle(s.Window, How{})
		if left, err := ISO20022(r.sheet(s.Window), r.dir, exported); err != nil || len(left) != 0 {
			t.Errorf("of a settled window %d files are left, %v", len(left), err)
		}
	}
}

func TestPairsHaveNoWholeSheet(t *testing.T) {
	r := newRig(t, &market{banks: banks("abc"), method: "bilateral"})
	r.pay("a>b", 500)
	r.pay("b>c", 300)
	files, err := ISO20022(r.sheet(r.closeWindow()), r.dir, exported)
	if err != nil || len(files) != 2 || !strings.Contains(files[0].Name, "pacs.009") {
		t.Errorf("%v %v", files, err)
	}
	lint(t, files)
}

func TestASheetIsExportedAsTables(t *testing.T) {
	r := wide(t)
	w := r.closeWindow()
	r.settle(w, How{})
	s := r.sheet(w)
	var all []clearing.WindowItem
	r.books.book.WindowPayments(w, func(it clearing.WindowItem) bool { all = append(all, it); return true })
	files := CSV(s, all)
	rows := map[string][][]string{}
	for _, f := range files {
		got, err := csv.NewReader(bytes.NewReader(f.Body)).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		rows[f.Name] = got
	}
	if len(rows["win-000001-matrix.csv"]) != len(s.Matrix)+1 || len(rows["win-000001-nets.csv"]) != len(s.Nets)+1 || len(rows["win-000001-legs.csv"]) != len(s.Legs)+1 || len(rows["win-000001-payments.csv"]) != 6 {
		t.Errorf("%v", rows)
	}
	if got := strings.Join(rows["win-000001-payments.csv"][4], ","); !strings.HasSuffix(got, ",bank-a,bank-d,2.50,CNY,,false,win_000002") {
		t.Error(got)
	}
	f, err := JSON(s, all)
	if err != nil {
		t.Fatal(err)
	}
	var j struct {
		Window string `json:"window"`
		State  string `json:"state"`
		Hash   string `json:"sheet_hash"`
		Nets   []struct {
			Net string `json:"net"`
		} `json:"nets"`
		Payments []struct {
			To string `json:"deferred_to"`
		} `json:"payments"`
	}
	if err := json.Unmarshal(f.Body, &j); err != nil || j.Window != "win_000001" || j.State != "settled" || len(j.Hash) != 64 || len(j.Nets) != len(s.Nets) || len(j.Payments) != 5 || j.Payments[3].To != "win_000002" {
		t.Errorf("%+v %v", j, err)
	}
	var tb table
	if tb.add("=1+1", "@x", "-5"); fmt.Sprint(tb) != "[['=1+1 '@x -5]]" {
		t.Error(tb)
	}
}

// TestProjectionsOfSeveralModels: what settling everything would do, over the windows
// of two models at once, and who would be beyond its cap then.
func TestProjectionsOfSeveralModels(t *testing.T) {
	r := newRig(t, &market{banks: banks("abc"), method: "gross", prefunding: map[tongma.ParticipantID]int64{"bank-a": 200}})
	r.pay("a>b", 500)
	r.model = ""
	r.pay("b>a", 900)
	r.pay("b>c", 100)
	r.must(clearing.Entry{Kind: clearing.KindCap, Debtor: "bank-a", Amount: cny(100)})
	w := r.closeWindow()
	p, err := Project(r.books.book, nil)
	if err != nil || len(p.Models) != 2 || p.Models[0].Model != "" || p.Models[1].Model != "pairs" || len(p.Models[0].Transfers) != 3 || len(p.Models[1].Transfers) != 1 {
		t.Fatalf("%+v %v", p, err)
	}
	a := p.Rows[0]
	if a.Participant != "bank-a" || a.Position != -400 || a.Pays != 500 || a.Receives != 900 || a.After != 0 || a.Beyond != 0 || a.Uncovered != 300 {
		t.Errorf("%+v", a)
	}
	p, err = Project(r.books.book, []tongma.WindowID{w, w}) // without the credits of that one, a has paid too much
	if a := p.Rows[0]; err != nil || a.After != 500 || a.Beyond != 200 || len(p.Models) != 1 {
		t.Errorf("%+v %v", p, err)
	}
	if _, err := Project(r.books.book, []tongma.WindowID{9}); tongma.ReasonOf(err) != tongma.WindowUnknown {
		t.Error(err)
	}
	r.bank.balance["BANK-B"] = 5000
	r.settle(w, How{})
	if _, err := Project(r.books.book, []tongma.WindowID{w}); tongma.ReasonOf(err) != tongma.StateConflict {
		t.Error(err)
	}
}

// TestStressSaysWhatTheDrillDoes: the figures made beforehand are those that come out.
func TestStressSaysWhatTheDrillDoes(t *testing.T) {
	r := wide(t)
	s := r.sheet(1)
	items := Payments(r.books.book, 1)
	got, err := Stress(s, items, FundsOf(r.books.book, &s), Rules(r.dir, ""), 1)
	if err != nil || len(got) != 1 || fmt.Sprint(got[0].Failed) != "[bank-a]" || got[0].Missing != 900 || got[0].Deferred != 2 || got[0].Value != 950 || !got[0].Settles {
		t.Fatalf("%+v %v", got, err)
	}
	w := r.closeWindow()
	r.settle(w, How{})
	var kinds []string
	for _, step := range got[0].Steps {
		if step.Payer != "" {
			kinds = append(kinds, Event{Kind: step.Kind.String(), From: step.Payer, To: step.Creditor, For: step.Short, Money: step.Amount}.String())
		}
	}
	if told := strings.Join(r.told, "\n"); !strings.Contains(told, strings.Join(kinds, "\n")) || len(kinds) != 5 {
		t.Errorf("planned\n%s\nand it was\n%s", strings.Join(kinds, "\n"), told)
	}
	two, err := Stress(s, items, Funds{}, func(tongma.Currency) *schemes.DefaultRules { return nil }, 9)
	if err != nil || two[0].Settles || len(two[0].Failed) != 2 {
		t.Errorf("%+v %v", two, err)
	}
}

// TestOneSettlementAWindow: a second call is told so, and changes nothing.
func TestOneSettlementAWindow(t *testing.T) {
	r := newRig(t, &market{banks: banks("ab"), balance: rich("a")})
	r.pay("a>b", 500)
	w := r.closeWindow()
	s := r.settler()
	s.begin(w)
	if _, err := s.Settle(t.Context(), w, How{}); tongma.ReasonOf(err) != tongma.StateConflict {
		t.Error(err)
	}
	s.end(w)
	if rep, err := s.Settle(t.Context(), w, How{}); err != nil || !rep.Done() {
		t.Error(rep, err)
	}
}
