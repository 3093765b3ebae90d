package clearing

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func hexOf(b []byte) string { return hex.EncodeToString(b) }

// recomputed is what somebody who has nothing but the lines of `journal dump`,
// a JSON reader and maps can say about positions, windows and net sheets.
type recomputed struct {
	position map[string]int64           // "who CUR"
	reserved map[string]int64           // "who CUR"
	matrix   map[int64]map[string]int64 // window: "CUR debtor creditor"
	nets     map[int64]map[string]int64 // window: "CUR who"
	opened   map[int64]int64            // window: first entry
	closed   map[int64]int64            // window: entry behind its last
	named    map[int64]string           // window: the sheet hash in its instruct line
}

// Recompute reads the lines one behind the other. It uses nothing of this package:
// the names of the fields are all that it knows (docs/journal.md).
func Recompute(lines []byte) (*recomputed, error) {
	r := &recomputed{map[string]int64{}, map[string]int64{}, map[int64]map[string]int64{}, map[int64]map[string]int64{},
		map[int64]int64{}, map[int64]int64{}, map[int64]string{}}
	holds := map[string]map[string]any{} // the hold line of each payment
	posted := map[string]bool{}
	text := func(l map[string]any, name string) string { s, _ := l[name].(string); return s }
	number := func(l map[string]any, name string) int64 { n, _ := l[name].(json.Number); i, _ := n.Int64(); return i }
	open := func(window, entry int64) {
		r.opened[window], r.matrix[window], r.nets[window] = entry, map[string]int64{}, map[string]int64{}
	}
	move := func(window int64, from, to, currency string, amount int64) {
		r.position[from+" "+currency] += amount
		r.position[to+" "+currency] -= amount
		r.matrix[window][currency+" "+from+" "+to] += amount
		r.nets[window][currency+" "+from] += amount
		r.nets[window][currency+" "+to] -= amount
	}
	d := json.NewDecoder(bytes.NewReader(lines))
	d.UseNumber()
	for d.More() {
		var l map[string]any
		if err := d.Decode(&l); err != nil {
			return nil, err
		}
		h := holds[text(l, "payment")]
		debtor, creditor, currency, held := text(h, "debtor"), text(h, "creditor"), text(h, "currency"), number(h, "amount_minor")
		fees := func() {
			list, _ := l["fees"].([]any)
			for _, one := range list {
				f, _ := one.(map[string]any)
				move(number(l, "window"), text(f, "from"), text(f, "to"), currency, number(f, "fee_minor"))
			}
		}
		switch text(l, "kind") {
		case "open":
			open(number(l, "window"), number(l, "entry"))
		case "close":
			r.closed[number(l, "window")] = number(l, "entry")
			open(number(l, "window")+1, number(l, "entry"))
		case "hold":
			holds[text(l, "payment")] = l
			r.reserved[text(l, "debtor")+" "+text(l, "currency")] += number(l, "amount_minor")
		case "post":
			posted[text(l, "payment")] = true
			r.reserved[debtor+" "+currency] -= held
			move(number(l, "window"), debtor, creditor, currency, number(l, "amount_minor"))
			fees()
		case "void", "expire":
			r.reserved[debtor+" "+currency] -= held
		case "reversed":
			if posted[text(l, "payment")] {
				move(number(l, "window"), creditor, debtor, currency, number(l, "amount_minor"))
				fees()
			} else {
				r.reserved[debtor+" "+currency] -= held
			}
		case "instruct":
			r.named[number(l, "window")] = text(l, "sheet_hash")
		case "settle":
			if text(l, "debtor") != "" {
				r.position[text(l, "debtor")+" "+text(l, "currency")] -= number(l, "amount_minor")
			} else {
				r.position[text(l, "creditor")+" "+text(l, "currency")] += number(l, "amount_minor")
			}
		}
	}
	return r, nil
}

// sheetHash is what `sha256sum` says to the text of the sheet.
func (r *recomputed) sheetHash(window int64) string {
	text := fmt.Sprintf("tongma net sheet 1\nwindow %d\nentries %d %d\n", window, r.opened[window], r.closed[window])
	for _, k := range slices.Sorted(maps.Keys(r.nets[window])) {
		text += fmt.Sprintf("%s %d\n", k, r.nets[window][k])
	}
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// TestAnOutsiderRecomputesEverything: the dump alone gives the positions, the
// matrix, the figures and the sheet hashes of the Book.
func TestAnOutsiderRecomputesEverything(t *testing.T) {
	written := life(t)
	var dump bytes.Buffer
	for i := range written {
		line, err := json.Marshal(NewLine(&written[i], 1, written[i].AppendTo(nil)))
		if err != nil {
			t.Fatal(err)
		}
		dump.Write(append(line, '\n'))
	}
	r, err := Recompute(dump.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	book := replayed(t, written)
	for _, p := range book.Positions() {
		k := string(p.Participant) + " " + p.Currency.Code()
		if r.position[k] != p.Position || r.reserved[k] != p.Reserved {
			t.Errorf("%s: recomputed %d held %d, the Book says %d held %d", k, r.position[k], r.reserved[k], p.Position, p.Reserved)
		}
	}
	for _, s := range book.Sheets(0) {
		w := int64(s.Window)
		for _, o := range s.Matrix {
			if got := r.matrix[w][strings.Join([]string{o.Currency.Code(), string(o.Debtor), string(o.Creditor)}, " ")]; got != o.Gross {
				t.Errorf("window %d: %+v, recomputed %d", w, o, got)
			}
		}
		for _, n := range s.Nets {
			if got := r.nets[w][n.Currency.Code()+" "+string(n.Participant)]; got != n.Net {
				t.Errorf("window %d: %+v, recomputed %d", w, n, got)
			}
		}
		if len(s.Nets) != len(r.nets[w]) || len(s.Matrix) != len(r.matrix[w]) {
			t.Errorf("window %d: %d figures and %d pairs", w, len(r.nets[w]), len(r.matrix[w]))
		}
		if got := r.sheetHash(w); got != hexOf(s.Hash[:]) || (r.named[w] != "" && r.named[w] != got) {
			t.Errorf("window %d: recomputed sheet %s, instructed %s, the Book's is %x", w, got, r.named[w], s.Hash)
		}
	}
	if r.named[1] == "" {
		t.Error("nothing was instructed")
	}
}

// TestTheDocumentNamesEveryField: docs/journal.md is what an outsider has.
func TestTheDocumentNamesEveryField(t *testing.T) {
	text, err := os.ReadFile("../docs/journal.md")
	if err != nil {
		t.Fatal(err)
	}
	fields := slices.Collect(reflect.TypeFor[Line]().Fields())
	for _, f := range slices.AppendSeq(fields, reflect.TypeFor[Fee]().Fields()) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if !strings.Contains(string(text), "`"+name+"`") {
			t.Errorf("the field %s is not in docs/journal.md", name)
		}
	}
	for kind, name := range kindNames {
		if name != "" && !strings.Contains(string(text), "`"+name+"`") {
			t.Errorf("kind %d, %s, is not in docs/journal.md", kind, name)
		}
	}
}
