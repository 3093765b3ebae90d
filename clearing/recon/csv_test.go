package recon

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/tongma/tongma"
)

func TestAFileIsReadWithMarkQuotesAndEitherLineEnd(t *testing.T) {
	id := pid(1).String()
	plain := Header + "\n" + id + ",S1,pay,approved,12.50,CNY,0.03,win_000012,2026-11-22,\n" + ",S2,refund,declined,5,JPY,,,2024-02-29,harbour\n"
	quoted := "\xef\xbb\xbf" + Header + "\r\n" + `"` + id + `","S1","pay","approved","12.50","CNY","0.03","win_000012","2026-11-22",""` + "\r\n" +
		`"",S2,refund,declined,5,"JPY","",,2024-02-29,harbour` + "\r\n"
	want := []Row{
		{Line: 2, Kind: RowPay, Status: tongma.Paid, HasFee: true, Fee: 3, Date: 20261122, Window: 12, Payment: pid(1), SchemeRef: "S1", Participant: "lotus", Amount: cny(1250)},
		{Line: 3, Kind: RowRefund, Status: tongma.Refused, Date: 20240229, SchemeRef: "S2", Participant: "harbour", Amount: tongma.Money{Minor: 5, Currency: tongma.JPY}},
	}
	for _, text := range []string{plain, quoted} {
		f, err := ReadCSV(strings.NewReader(text), "lotus")
		if err != nil {
			t.Fatal(err)
		}
		if fmt.Sprint(f.Rows) != fmt.Sprint(want) || f.Hash != hash(text) || f.Sender != "lotus" {
			t.Fatalf("got %v\nwant %v", f.Rows, want)
		}
	}
	f, _ := ReadCSV(strings.NewReader(plain), "lotus")
	if got := f.Only(12); len(got.Rows) != 2 || got.Hash != f.Hash {
		t.Errorf("window 12: %v", got.Rows)
	}
	if got := f.Only(13); len(got.Rows) != 1 {
		t.Errorf("window 13: %v", got.Rows)
	}
}

func TestAFaultyFileIsRefusedWithItsPlace(t *testing.T) {
	good := pid(1).String() + ",S1,pay,approved,12.50,CNY,,12,,\n"
	for _, c := range []struct {
		name, text   string
		line, column int
		reason       tongma.Reason
	}{
		{"empty", "", 1, 0, tongma.MessageMalformed},
		{"other header", "payment_id,amount\n", 1, 0, tongma.MessageMalformed},
		{"header alone, cut off", Header, 1, 0, tongma.MessageMalformed},
		{"last line cut off", Header + "\n" + good + strings.TrimSuffix(good, "\n"), 3, 0, tongma.MessageMalformed},
		{"empty line", Header + "\n\n", 2, 1, tongma.MessageMalformed},
		{"nine fields", Header + "\n,S1,pay,approved,12.50,CNY,,12,\n", 2, 9, tongma.MessageMalformed},
		{"eleven fields", Header + "\n,S1,pay,approved,12.50,CNY,,12,,,\n", 2, 10, tongma.MessageMalformed},
		{"long line", Header + "\n," + strings.Repeat("x", 1100) + "\n", 2, 0, tongma.MessageTooLong},
		{"line without end", Header + "\n" + strings.Repeat("x", 3<<20), 2, 0, tongma.MessageTooLong},
		{"open quote", Header + "\n\"a,S1,pay,approved,12.50,CNY,,12,,\n", 2, 1, tongma.MessageMalformed},
		{"quote inside", Header + "\n,S\"1,pay,approved,12.50,CNY,,12,,\n", 2, 2, tongma.MessageMalformed},
		{"text behind a quote", Header + "\n,\"S\"1,pay,approved,12.50,CNY,,12,,\n", 2, 2, tongma.MessageMalformed},
		{"payment id", Header + "\npay_1,,pay,approved,12.50,CNY,,12,,\n", 2, 1, tongma.FieldInvalid},
		{"no key", Header + "\n,,pay,approved,12.50,CNY,,12,,\n", 2, 1, tongma.FieldMissing},
		{"long reference", Header + "\n," + strings.Repeat("x", 65) + ",pay,approved,12.50,CNY,,12,,\n", 2, 2, tongma.FieldInvalid},
		{"reference that is not ASCII", Header + "\n,Ü,pay,approved,12.50,CNY,,12,,\n", 2, 2, tongma.FieldInvalid},
		{"kind", Header + "\n,S1,Pay,approved,12.50,CNY,,12,,\n", 2, 3, tongma.FieldInvalid},
		{"status", Header + "\n,S1,pay,ok,12.50,CNY,,12,,\n", 2, 4, tongma.FieldInvalid},
		{"sign", Header + "\n,S1,pay,approved,-12.50,CNY,,12,,\n", 2, 5, tongma.AmountInvalid},
		{"thousands", Header + "\n,S1,pay,approved,\"1,250.00\",CNY,,12,,\n", 2, 5, tongma.AmountInvalid},
		{"no amount", Header + "\n,S1,pay,approved,,CNY,,12,,\n", 2, 5, tongma.AmountInvalid},
		{"decimals", Header + "\n,S1,pay,approved,12.505,CNY,,12,,\n", 2, 5, tongma.AmountDecimals},
		{"thirteen digits", Header + "\n,S1,pay,approved,10000000000.00,CNY,,12,,\n", 2, 5, tongma.AmountInvalid},
		{"currency", Header + "\n,S1,pay,approved,12.50,cny,,12,,\n", 2, 6, tongma.CurrencyUnknown},
		{"fee", Header + "\n,S1,pay,approved,12.50,CNY,0.001,12,,\n", 2, 7, tongma.AmountDecimals},
		{"window", Header + "\n,S1,pay,approved,12.50,CNY,,W12,,\n", 2, 8, tongma.FieldInvalid},
		{"no window, no date", Header + "\n,S1,pay,approved,12.50,CNY,,,,\n", 2, 8, tongma.FieldMissing},
		{"date", Header + "\n,S1,pay,approved,12.50,CNY,,,2025-02-29,\n", 2, 9, tongma.FieldInvalid},
		{"participant", Header + "\n,S1,pay,approved,12.50,CNY,,12,,Lotus\n", 2, 10, tongma.FieldInvalid},
		{"second row", Header + "\n" + good + ",,pay,approved,12.50,CNY,,12,,\n", 3, 1, tongma.FieldMissing},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, err := ReadCSV(strings.NewReader(c.text), "lotus")
			var e *CSVError
			if !errors.As(err, &e) || e.Line != c.line || e.Column != c.column || tongma.ReasonOf(err) != c.reason {
				t.Fatalf("got %v (%s)", err, tongma.ReasonOf(err))
			}
			if c.column > 0 && e.Name != strings.Split(Header, ",")[c.column-1] {
				t.Errorf("column %d is called %q", c.column, e.Name)
			}
			if len(f.Rows) > 0 || f.Hash != [32]byte{} {
				t.Error("a refused file has rows")
			}
		})
	}
}

type brokenReader struct{ n int }

func (r *brokenReader) Read(p []byte) (int, error) {
	if r.n++; r.n > 1 {
		return 0, errors.New("disk")
	}
	return copy(p, Header+"\n,S1,"), nil
}

func TestAReadErrorIsNoEndOfFile(t *testing.T) {
	var e *CSVError
	if _, err := ReadCSV(&brokenReader{}, "lotus"); !errors.As(err, &e) || e.Line != 2 || errors.Is(err, io.EOF) {
		t.Fatalf("got %v", err)
	}
}

func TestMoneyIsReadAsTheRootReadsIt(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		c := rapid.SampledFrom([]tongma.Currency{tongma.CNY, tongma.JPY, tongma.KWD, 990}).Draw(rt, "currency")
		s := rapid.StringMatching(`[0-9]{0,13}[.,-]?[0-9]{0,5}`).Draw(rt, "amount")
		want, err := tongma.ParseMoney(s, c)
		got, ok := plainMoney([]byte(s), c)
		if ok && (err != nil || got != want) {
			rt.Fatalf("%q: got %v, the root says %v, %v", s, got, want, err)
		}
		p := csvReader{line: 2}
		all, errAll := p.money([]byte(s), 5, c)
		if (errAll == nil) != (err == nil && want.Minor <= tongma.MaxMinor) || (errAll == nil && all != want) {
			rt.Fatalf("%q: got %v, %v; the root says %v, %v", s, all, errAll, want, err)
		}
	})
}

// writeRows is the file that has these rows.
func writeRows(rows []Row) []byte {
	var b bytes.Buffer
	b.WriteString(Header + "\n")
	for _, r := range rows {
		fee, window := "", ""
		if r.HasFee {
			fee = tongma.Money{Minor: r.Fee, Currency: r.Amount.Currency}.Decimal()
		}
		if r.Window != 0 {
			window = r.Window.String()
		}
		ref := r.SchemeRef
		if strings.Contains(ref, ",") {
			ref = `"` + ref + `"`
		}
		fmt.Fprintf(&b, "%s,%s,%s,%s,%s,%s,%s,%s,%s,%s\n", r.Payment, ref, r.Kind, r.Status, r.Amount.Decimal(), r.Amount.Currency, fee, window, r.Date, r.Participant)
	}
	return b.Bytes()
}

// FuzzCSV holds that what is read can be written and read again with the same
// rows, and that no file makes Reconcile panic or lose count.
func FuzzCSV(f *testing.F) {
	id := pid(1).String()
	f.Add([]byte(Header + "\n" + id + ",S1,pay,approved,12.50,CNY,0.03,win_000012,2026-11-22,\n"))
	f.Add([]byte("\xef\xbb\xbf" + Header + "\r\n\"" + id + "\",\"S,1\",reversal,reversed,5,JPY,,,2024-02-29,harbour\r\n"))
	f.Add([]byte(Header + "\n,S0001,pay,pending,1.,KWD,,1,,\n,S0001,pay,pending,1.,KWD,,1,,\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := ReadCSV(bytes.NewReader(data), "lotus")
		if err != nil {
			var e *CSVError
			if !errors.As(err, &e) || e.Line < 1 || !tongma.ReasonOf(err).Known() {
				t.Fatalf("%v", err)
			}
			return
		}
		again, err := ReadCSV(bytes.NewReader(writeRows(file.Rows)), "lotus")
		if err != nil || fmt.Sprint(again.Rows) != fmt.Sprint(file.Rows) {
			t.Fatalf("%v\nwas %v\nis %v", err, file.Rows, again.Rows)
		}
		run1(t, Input{Items: []Item{paid(1, 1250, 12), reversed(paid(2, 500, 11), 12)}, Files: []File{file}})
	})
}
