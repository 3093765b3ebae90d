package recon

import (
	"bytes"
	"testing"

	"github.com/tongma/tongma"
)

// BenchmarkMillionRows reads a file of a million rows and compares it with a
// million payments, of which one in a thousand differs.
func BenchmarkMillionRows(b *testing.B) {
	const n = 1_000_000
	items, rows := make([]Item, n), make([]Row, n)
	for i := range n {
		items[i] = paid(i+1, int64(100+i%100_000), 12)
		rows[i] = Row{Kind: RowPay, Status: tongma.Paid, Payment: items[i].Payment, SchemeRef: items[i].SchemeRef, Amount: items[i].Amount, Window: 12, Date: 20261122, HasFee: true, Fee: 3}
		if i%1000 == 0 {
			rows[i].Amount.Minor++
		}
		if i%2 == 0 {
			rows[i].Payment = tongma.PaymentID{} // by the scheme's reference
		}
	}
	data := writeRows(rows)
	report := func(b *testing.B) {
		b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
		b.ReportMetric(0, "ns/op")
	}
	b.Run("read", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		for b.Loop() {
			if _, err := ReadCSV(bytes.NewReader(data), "lotus"); err != nil {
				b.Fatal(err)
			}
		}
		report(b)
	})
	b.Run("read and reconcile", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		for b.Loop() {
			f, err := ReadCSV(bytes.NewReader(data), "lotus")
			if err != nil {
				b.Fatal(err)
			}
			res, err := Reconcile(Input{Window: 12, AsOf: noon, Items: items, Files: []File{f}})
			if err != nil || len(res.Breaks) != n/1000 {
				b.Fatal(err, len(res.Breaks))
			}
		}
		report(b)
	})
}
