// The box of models that hear: a sound file, or the microphone. Browsers record in formats that the server does not
// read, so that the page takes the samples themselves and makes a WAV file of them.
import { Box, field } from "./box.js";
import { base64, call } from "./calls.js";
import { durationText, el, setText } from "./dom.js";
import { stepsOf } from "./steps.js";

const LONGEST_S = 120;

/** A WAV file of one channel, 16 bits. */
export function wav(pieces, rate) {
  const length = pieces.reduce((sum, piece) => sum + piece.length, 0);
  const view = new DataView(new ArrayBuffer(44 + 2 * length));
  const word = (at, text) => [...text].forEach((letter, index) => view.setUint8(at + index, letter.charCodeAt(0)));
  word(0, "RIFF"); view.setUint32(4, 36 + 2 * length, true); word(8, "WAVEfmt ");
  view.setUint32(16, 16, true); view.setUint16(20, 1, true); view.setUint16(22, 1, true);
  view.setUint32(24, rate, true); view.setUint32(28, 2 * rate, true); view.setUint16(32, 2, true); view.setUint16(34, 16, true);
  word(36, "data"); view.setUint32(40, 2 * length, true);
  let at = 44;
  for (const piece of pieces) for (const value of piece) {
    view.setInt16(at, Math.max(-1, Math.min(1, value)) * 32767, true);
    at += 2;
  }
  return new File([view], "recording.wav", { type: "audio/wav" });
}

class Microphone {
  async start() {
    this.pieces = [];
    this.stream = await navigator.mediaDevices.getUserMedia({ audio: { channelCount: 1 } });
    this.context = new AudioContext();
    await this.context.audioWorklet.addModule("/page/recorder.js");
    const node = new AudioWorkletNode(this.context, "recorder");
    node.port.onmessage = (event) => this.pieces.push(event.data);
    this.context.createMediaStreamSource(this.stream).connect(node).connect(this.context.destination);
  }

  get seconds() {
    return this.pieces.reduce((sum, piece) => sum + piece.length, 0) / this.context.sampleRate;
  }

  async stop() {
    this.stream.getTracks().forEach((track) => track.stop());
    const file = wav(this.pieces, this.context.sampleRate);
    await this.context.close();
    return file;
  }
}

export function soundBox(model) {
  const [fileField, input] = field("Sound file", el("input", { type: "file", accept: "audio/*,.wav,.flac,.ogg,.mp3" }), "WAV, FLAC, Ogg or MP3. Or speak:");
  const player = el("audio", { controls: true, hidden: true });
  const said = el("span", { class: "hint", role: "status" });
  let sound = null;
  let microphone = null;
  let clock = null;
  const take = (file) => {
    sound = file;
    player.src = URL.createObjectURL(file);
    player.hidden = false;
  };
  input.addEventListener("change", () => input.files[0] && take(input.files[0]));
  const record = el("button", { type: "button", class: "quiet record", "aria-pressed": "false" }, "Record");
  const stop = async () => {
    clearInterval(clock);
    const now = microphone;
    microphone = null;
    record.setAttribute("aria-pressed", "false");
    setText(record, "Record");
    const seconds = now.seconds;
    take(await now.stop());
    setText(said, `Recorded ${durationText(seconds)}.`);
  };
  record.addEventListener("click", async () => {
    if (microphone) { await stop(); return; }
    const next = new Microphone();
    try {
      await next.start();
    } catch (error) {
      setText(said, navigator.mediaDevices ? `The microphone cannot be used: ${error.message}` : "Browsers give the microphone to pages on localhost or HTTPS only.");
      return;
    }
    microphone = next;
    record.setAttribute("aria-pressed", "true");
    setText(record, "Stop recording");
    clock = setInterval(() => {
      setText(said, `Recording, ${Math.round(microphone.seconds)} s`);
      if (microphone.seconds > LONGEST_S) stop();
    }, 500);
  });
  return new Box({
    label: "Transcribe",
    fields: [fileField, el("div", { class: "actions" }, record, said), player],
    named: { audio: input, file: input, inputs: input },
    run: async (box) => {
      if (microphone) await stop();
      if (!sound) {
        box.done = "Choose a sound file first, or record something.";
        return;
      }
      const told = await call("transcribe", { model: model.name, audio: await base64(sound) }, box.signal);
      box.result.append(told.text ? el("p", { class: "said" }, told.text) : el("p", { class: "empty" }, "The model heard no words."));
      for (const warning of told.warnings) box.result.append(el("p", { class: "hint" }, warning));
      if (told.parts.length > 1) box.result.append(el("ol", { class: "parts" }, told.parts.map((part) => el("li", {}, el("span", { class: "time" }, `${part.start_s.toFixed(1)}–${part.end_s.toFixed(1)} s`), " ", part.text))));
      box.result.append(stepsOf(told.steps, told.duration_s ? [`${durationText(told.duration_s)} of sound`] : []));
    },
  });
}
