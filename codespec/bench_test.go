package codespec

import "testing"

func bench(b *testing.B, raw string) {
	b.Helper()
	r := DefaultRules()
	if _, err := r.Decode(raw); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Decode(raw); err != nil {
			b.Fatal(err)
		}
	}
}

const (
	benchMPM = "00020101021126440010com.myfave0126https://myfave.com/qr/511727630010com.alipay0145https://qr.alipay.com/ocx08230mbjrpvogjn4mm1751800007SG.SGQR01121809132E11F3020701.00030306339511040202050209060400000708201809185204000053037025802SG5911DRAGON BOWL6009Singapore630443F4"
	benchCPM = "hQVDUFYwMWFATwigAAADMwEBAVAIVW5pb25QYXlXEWKSYQNYREM1ZB0iEiAQAAAPYxefJggBAgMEBQYHCJ82AgABnzcE6gZYyA=="
)

func BenchmarkDecodeMPM(b *testing.B)     { bench(b, benchMPM) }
func BenchmarkDecodeCPM(b *testing.B)     { bench(b, benchCPM) }
func BenchmarkDecodePayCode(b *testing.B) { bench(b, "134621141753364349") }
func BenchmarkDecodeUnified(b *testing.B) { bench(b, "77000123456789012368") }
func BenchmarkDecodeURL(b *testing.B) {
	bench(b, "https://qr.95516.com/00010000/62028489073949969691921655610979")
}
func BenchmarkDecodeUPI(b *testing.B) {
	bench(b, "upi://pay?pa=dmart.razorpay@hdfcbank&pn=TestAccount&tr=RZPGT5viB4WHeoUuuqrv2&tn=TestAccountRaftarSoft&am=100&cu=INR&mc=5411")
}
func BenchmarkDecodeMPMKHQR(b *testing.B) {
	bench(b, "00020101021229460015john_smith@devb0111855122334550208Dev Bank52045999530384054031005802KH5910John Smith6010PHNOM PENH62670106#123450211855122334550311Coffee Shop0709Cashier_10810Buy coffee64280002km0108ចន ស្មីន0206ភ្នំពញ993400131726821915797011317268220357976304B73E")
}
