package iso8583

import (
	"context"
	"runtime"
	"testing"

	moov "github.com/moov-io/iso8583"
	"github.com/moov-io/iso8583/encoding"
	"github.com/moov-io/iso8583/field"
	"github.com/moov-io/iso8583/prefix"

	"github.com/tongma/tongma"
)

// The benchmarks compare, in one run and over one message, the codec (ours),
// moov with this package's encoders plugged in (moov-plugged), moov as it comes
// (moov-stock), and, packed, moov's BCD with ours plugged in and as it comes.

// purchase0200 is a purchase of 22 fields.
func purchase0200() *Message {
	m := &Message{}
	m.Reset("0200")
	for id, v := range map[int]string{2: "6259960012345678901", 3: "000000", 4: "000000012345", 7: "1122080910", 11: "000123",
		12: "160910", 13: "1122", 18: "5411", 19: "156", 22: "031", 25: "00", 32: "00010344", 33: "00010000",
		37: "632616000123", 41: "T0000001", 42: "898100012340001", 43: "SHANGHAI NOODLE HOUSE    SHANGHAI     CN",
		48: "010196259960012345678901" + "020004" + "EURP" + "03017OR20261122000123", 49: "156", 62: "6259960012345678901",
		64: "\x01\x02\x03\x04\x05\x06\x07\x08"} {
		m.SetText(id, v)
	}
	return m
}

// stockSpec is the house table with each row's encoder replaced by one of moov's
// or by another.
func stockSpec(digits, varDigits, characters, raw encoding.Encoder, pref prefix.Prefixers) *moov.MessageSpec {
	out := &moov.MessageSpec{Name: "stock", Fields: map[int]field.Field{}}
	for id, f := range houseA.Fields {
		s := *f.Spec()
		switch class := s.Enc.(encoder).class; {
		case class == classB:
			s.Enc = raw
		case class == classN && s.Pref != prefix.ASCII.Fixed:
			s.Enc = varDigits
		case class == classN:
			s.Enc = digits
		default:
			s.Enc = characters
		}
		switch s.Pref {
		case prefix.ASCII.Fixed:
			s.Pref = pref.Fixed
		case prefix.ASCII.LL:
			s.Pref = pref.LL
		case prefix.ASCII.LLL:
			s.Pref = pref.LLL
		}
		switch {
		case id == 1:
			out.Fields[id] = field.NewBitmap(&s)
		case s.Enc == raw:
			out.Fields[id] = field.NewBinary(&s)
		default:
			out.Fields[id] = field.NewString(&s)
		}
	}
	return out
}

var moovSpecs = []struct {
	name string
	spec *moov.MessageSpec
}{
	{"moov-plugged", houseA},
	{"moov-stock", stockSpec(encoding.ASCII, encoding.ASCII, encoding.ASCII, encoding.Binary, prefix.ASCII)},
	{"moov-bcd-plugged", stockSpec(BCD, LBCD, encoding.ASCII, encoding.Binary, prefix.BCD)},
	{"moov-bcd-stock", stockSpec(encoding.BCD, encoding.LBCD, encoding.ASCII, encoding.Binary, prefix.BCD)},
}

// asMoov builds the same message with a moov spec.
func asMoov(tb testing.TB, spec *moov.MessageSpec) *moov.Message {
	ours, theirs := purchase0200(), moov.NewMessage(spec)
	theirs.MTI(ours.MTI())
	for id := 2; id <= maxField; id++ {
		if ours.Has(id) {
			if err := theirs.BinaryField(id, ours.Get(id)); err != nil {
				tb.Fatal(err)
			}
		}
	}
	return theirs
}

func BenchmarkUnpack0200(b *testing.B) {
	packed, err := purchase0200().Append(nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("ours", func(b *testing.B) {
		b.ReportAllocs()
		var m Message
		for b.Loop() {
			if err := m.Unpack(packed); err != nil {
				b.Fatal(err)
			}
		}
	})
	for _, s := range moovSpecs {
		b.Run(s.name, func(b *testing.B) {
			packed, err := asMoov(b, s.spec).Pack()
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			m := moov.NewMessage(s.spec)
			for b.Loop() {
				if err := m.Unpack(packed); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkPack0200(b *testing.B) {
	b.Run("ours", func(b *testing.B) {
		b.ReportAllocs()
		m, buf := purchase0200(), make([]byte, 0, 1024)
		for b.Loop() {
			if _, err := m.Append(buf); err != nil {
				b.Fatal(err)
			}
		}
	})
	for _, s := range moovSpecs {
		b.Run(s.name, func(b *testing.B) {
			b.ReportAllocs()
			m := asMoov(b, s.spec)
			for b.Loop() {
				if _, err := m.Pack(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkBCD(b *testing.B) {
	digits := []byte("6259960012345678901")
	encoders := []struct {
		name string
		enc  encoding.Encoder
	}{{"ours-right", BCD}, {"ours-left", LBCD}, {"moov-right", encoding.BCD}, {"moov-left", encoding.LBCD}}
	for _, e := range encoders {
		b.Run("encode/"+e.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := e.enc.Encode(digits); err != nil {
					b.Fatal(err)
				}
			}
		})
		packed, err := e.enc.Encode(digits)
		if err != nil {
			b.Fatal(err)
		}
		b.Run("decode/"+e.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := e.enc.Decode(packed, len(digits)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// noOp approves at once.
type noOp struct{}

func (noOp) Do(context.Context, tongma.Request) (tongma.Answer, error) {
	return tongma.Answer{Status: tongma.Paid, Outcome: tongma.Approved, Approval: "A1B2C3", Payment: tongma.PaymentID{1}}, nil
}

// BenchmarkLink is purchases over one loopback link, both ends in this process,
// by so many callers at once.
func BenchmarkLink(b *testing.B) {
	key, err := NewMAC(make([]byte, 16))
	if err != nil {
		b.Fatal(err)
	}
	for _, bench := range []struct {
		name    string
		callers int
		key     *MAC
	}{{"callers-1", 1, nil}, {"callers-16", 16, nil}, {"callers-256", 256, nil}, {"callers-256-mac", 256, key}} {
		b.Run(bench.name, func(b *testing.B) {
			s := newStand(b, func(cfg *Config) {
				cfg.Switch, cfg.Logger = noOp{}, nil
				cfg.Key = func(string) *MAC { return bench.key }
			})
			c := s.client(b, func(cfg *ClientConfig) { cfg.Now, cfg.MAC = nil, bench.key })
			p := purchase("6259960012345678901")
			b.ReportAllocs()
			b.SetParallelism((bench.callers + runtime.GOMAXPROCS(0) - 1) / runtime.GOMAXPROCS(0))
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if r, err := c.Purchase(b.Context(), p); err != nil || !r.Approved() {
						b.Errorf("%+v, %v", r, err)
						return
					}
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "trips/s")
		})
	}
}
