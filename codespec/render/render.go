// Package render draws payment codes and reads them back: QR and Code 128, as
// PNG, SVG and terminal text, and a reader for images. A drawing never prints
// the code's text beside it.
package render

import (
	"bufio"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"strings"

	"github.com/boombuler/barcode/code128"
	"rsc.io/qr/coding"
)

// Level is how much damage a QR symbol survives.
type Level int

// The four levels of ISO/IEC 18004: about 7, 15, 25 and 30 percent.
const (
	L Level = iota
	M
	Q
	H
)

// Errors of this package.
var (
	ErrTooLong   = errors.New("render: text is too long for the symbol")
	ErrText      = errors.New("render: text has characters that the symbol cannot carry")
	ErrScale     = errors.New("render: scale is not between 1 and 64 pixels a module")
	ErrImageSize = errors.New("render: image is too large")
	ErrNoCode    = errors.New("render: no QR or Code 128 symbol found")
	ErrImage     = errors.New("render: not a PNG, JPEG or GIF image")
)

const (
	qrQuiet      = 4  // modules of white around a QR symbol (ISO/IEC 18004 6.3.8)
	code128Quiet = 10 // modules of white left and right of Code 128 (ISO/IEC 15417 4.4)
	code128Bars  = 40 // height of the bars in modules
	maxScale     = 64
)

// Symbol is a drawn code: rows of modules without the quiet zone.
type Symbol struct {
	width, height int
	quietX        int
	quietY        int
	dark          []bool // row by row
	linear        bool   // one row stands for all
}

// Size returns width and height in modules, quiet zone included.
func (s *Symbol) Size() (width, height int) { return s.width + 2*s.quietX, s.height + 2*s.quietY }

// Dark reports whether the module at x, y is dark; 0, 0 is the top left corner
// of the quiet zone, and everything outside is light.
func (s *Symbol) Dark(x, y int) bool {
	x, y = x-s.quietX, y-s.quietY
	if x < 0 || y < 0 || x >= s.width || y >= s.height {
		return false
	}
	if s.linear {
		y = 0
	}
	return s.dark[y*s.width+x]
}

// QR draws text. Digits are written in numeric mode; everything else in byte
// mode only, as EMVCo asks, behind an ECI 26 mark if it is UTF-8 beyond ASCII.
func QR(text string, level Level) (*Symbol, error) {
	if text == "" || level < L || level > H {
		return nil, ErrText
	}
	enc := segment(text)
	for v := coding.Version(coding.MinVersion); v <= coding.MaxVersion; v++ {
		if enc.Bits(v) > v.DataBytes(coding.Level(level))*8 {
			continue
		}
		plan, err := coding.NewPlan(v, coding.Level(level), 0)
		if err != nil {
			return nil, fmt.Errorf("render: %w", err)
		}
		c, err := plan.Encode(enc)
		if err != nil {
			return nil, fmt.Errorf("render: %w", err)
		}
		s := &Symbol{width: c.Size, height: c.Size, quietX: qrQuiet, quietY: qrQuiet, dark: make([]bool, c.Size*c.Size)}
		for i := range s.dark {
			s.dark[i] = c.Black(i%c.Size, i/c.Size)
		}
		return s, nil
	}
	return nil, ErrTooLong
}

// Code128 draws printable ASCII of at most 80 characters; pairs of digits take
// one symbol character.
func Code128(text string) (*Symbol, error) {
	if text == "" || len(text) > 80 {
		return nil, ErrTooLong
	}
	for i := 0; i < len(text); i++ {
		if text[i] < ' ' || text[i] > '~' {
			return nil, ErrText
		}
	}
	c, err := code128.Encode(text)
	if err != nil {
		return nil, ErrText
	}
	s := &Symbol{width: c.Bounds().Dx(), height: code128Bars, quietX: code128Quiet, quietY: 2, linear: true}
	s.dark = make([]bool, s.width)
	for x := range s.dark {
		r, _, _, _ := c.At(x, 0).RGBA()
		s.dark[x] = r == 0
	}
	return s, nil
}

// PNG writes the symbol with scale pixels a module, black on white.
func (s *Symbol) PNG(w io.Writer, scale int) error {
	img, err := s.Image(scale)
	if err != nil {
		return err
	}
	return png.Encode(w, img)
}

// Image returns the symbol with scale pixels a module, black on white.
func (s *Symbol) Image(scale int) (*image.Paletted, error) {
	if scale < 1 || scale > maxScale {
		return nil, ErrScale
	}
	width, height := s.Size()
	img := image.NewPaletted(image.Rect(0, 0, width*scale, height*scale), color.Palette{color.White, color.Black})
	for y := range height {
		row := img.Pix[y*scale*img.Stride:][:img.Stride]
		for x := range row {
			if s.Dark(x/scale, y) {
				row[x] = 1
			}
		}
		for i := 1; i < scale; i++ {
			copy(img.Pix[(y*scale+i)*img.Stride:], row)
		}
	}
	return img, nil
}

// SVG writes the symbol as one path in module units, with its quiet zone. It
// scales without loss and needs no script, font or style sheet.
func (s *Symbol) SVG(w io.Writer) error {
	width, height := s.Size()
	out := bufio.NewWriter(w)
	fmt.Fprintf(out, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" shape-rendering="crispEdges">`, width, height)
	fmt.Fprintf(out, `<path fill="#fff" d="M0 0h%dv%dH0z"/><path d="`, width, height)
	rows, tall := s.height, 1
	if s.linear {
		rows, tall = 1, s.height
	}
	for y := range rows {
		for x := 0; x < s.width; x++ {
			if !s.dark[y*s.width+x] {
				continue
			}
			run := x
			for x < s.width && s.dark[y*s.width+x] {
				x++
			}
			fmt.Fprintf(out, "M%d %dh%dv%dh-%dz", run+s.quietX, y+s.quietY, x-run, tall, x-run)
		}
	}
	fmt.Fprint(out, `"/></svg>`, "\n")
	return out.Flush()
}

// Terminal writes the symbol with half blocks, two rows of modules a line. With
// invert the light modules are printed and the dark ones left out: right for a
// dark terminal, where a code is read only if light is light.
func (s *Symbol) Terminal(w io.Writer, invert bool) error {
	width, height := s.Size()
	if s.linear {
		height = 12
	}
	glyphs := [4]string{" ", "▀", "▄", "█"}
	out := bufio.NewWriter(w)
	for y := 0; y < height; y += 2 {
		var line strings.Builder
		for x := range width {
			g := 0
			if s.Dark(x, y) != invert {
				g = 1
			}
			if y+1 < height && s.Dark(x, y+1) != invert {
				g |= 2
			}
			line.WriteString(glyphs[g])
		}
		fmt.Fprintln(out, line.String())
	}
	return out.Flush()
}

// segment chooses how text is written into a QR symbol.
func segment(text string) coding.Encoding {
	if coding.Num(text).Check() == nil {
		return coding.Num(text)
	}
	return byteSegment{text, needsECI(text)}
}

// byteSegment is a byte-mode segment, behind ECI 000026 (UTF-8) if asked for.
type byteSegment struct {
	text string
	eci  bool
}

// Check accepts every byte.
func (b byteSegment) Check() error { return nil }

// Bits is the size of the segment in a symbol of version v.
func (b byteSegment) Bits(v coding.Version) int {
	n := coding.String(b.text).Bits(v)
	if b.eci {
		n += 12
	}
	return n
}

// Encode writes the segment.
func (b byteSegment) Encode(bits *coding.Bits, v coding.Version) {
	if b.eci {
		bits.Write(7, 4)
		bits.Write(26, 8)
	}
	coding.String(b.text).Encode(bits, v)
}
