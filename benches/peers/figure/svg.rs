//! Pictures as plain SVG, readable on a light page and on a dark one: [`Svg`].

use narrows_kit::programs::Program;

/// Text adapts to the page; what is coloured stands out from both.
const STYLE: &str = "
  text { font: 13px system-ui, 'Segoe UI', Helvetica, Arial, sans-serif; fill: #6e7781; }
  .title { font-size: 15px; font-weight: 600; }
  .small { font-size: 12px; }
  .end { text-anchor: end; }
  .middle { text-anchor: middle; }
  .grid { stroke: #8b949e; stroke-opacity: 0.35; }
  .curve { fill: none; stroke-width: 2; stroke-linejoin: round; }
  @media (prefers-color-scheme: dark) { text { fill: #b7bfc8; } }
";

/// How thick a bar is.
pub(super) const BAR: f64 = 9.0;

/// The next number that makes round ticks.
pub(super) fn nice(number: f64) -> f64 {
    let magnitude = 10_f64.powf(number.log10().floor());
    let steps = [1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 7.5, 10.0];
    let step = steps.into_iter().find(|step| step * magnitude >= number);
    step.unwrap_or(10.0) * magnitude
}

/// Colour and dashes of one way.
fn look(program: Option<Program>) -> (&'static str, &'static str) {
    match program {
        None => ("#8b949e", "none"),
        Some(Program::Narrows) => ("#2f81f7", "none"),
        Some(Program::Nginx) => ("#2da44e", "7 3"),
        Some(Program::Haproxy) => ("#d9730d", "2 3"),
    }
}

/// A picture in the making.
pub(super) struct Svg(String);

pub(super) type Point = (f64, f64);

impl Svg {
    /// An empty one, of this size.
    pub(super) fn new(title: &str, (width, height): Point) -> Self {
        let mut svg = Self(String::new());
        svg.put(&format!(
            "<svg xmlns='http://www.w3.org/2000/svg' role='img' width='{width}' height='{height}' \
             viewBox='0 0 {width} {height}'>"
        ));
        svg.put(&format!("<title>{title}</title>"));
        svg.put(&format!("<style>{STYLE}</style>"));
        svg
    }

    /// The file.
    pub(super) fn finish(mut self) -> String {
        self.put("</svg>");
        self.0
    }

    pub(super) fn put(&mut self, element: &str) {
        self.0.push_str(element);
        self.0.push('\n');
    }

    pub(super) fn text(&mut self, x: f64, y: f64, class: &str, text: &str) {
        self.put(&format!("<text x='{x:.1}' y='{y:.1}' class='{class}'>{text}</text>"));
    }

    pub(super) fn line(&mut self, (x1, y1): Point, (x2, y2): Point, class: &str) {
        self.put(&format!(
            "<line x1='{x1:.1}' y1='{y1:.1}' x2='{x2:.1}' y2='{y2:.1}' class='{class}'/>"
        ));
    }

    pub(super) fn curve(&mut self, points: impl Iterator<Item = Point>, program: Option<Program>) {
        let (colour, dashes) = look(program);
        let points: Vec<_> = points.map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let points = points.join(" ");
        self.put(&format!(
            "<polyline class='curve' stroke='{colour}' \
             stroke-dasharray='{dashes}' points='{points}'/>"
        ));
    }

    /// The line of a legend.
    pub(super) fn sample(&mut self, (x, y): Point, program: Option<Program>) {
        let (colour, dashes) = look(program);
        let end = x + 24.0;
        self.put(&format!(
            "<path class='curve' stroke='{colour}' stroke-dasharray='{dashes}' \
             d='M{x:.1} {y:.1}H{end:.1}'/>"
        ));
    }

    pub(super) fn bar(&mut self, (x, y): Point, width: f64, program: Option<Program>) {
        let (colour, _) = look(program);
        self.put(&format!(
            "<rect x='{x:.1}' y='{y:.1}' width='{width:.1}' height='{BAR}' rx='2' \
             fill='{colour}' fill-opacity='0.55'/>"
        ));
    }

    pub(super) fn dot(&mut self, (x, y): Point, program: Option<Program>) {
        let (colour, _) = look(program);
        self.put(&format!("<circle cx='{x:.1}' cy='{y:.1}' r='3' fill='{colour}'/>"));
    }
}
