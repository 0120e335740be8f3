import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.Collection;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import org.javarosa.core.model.Constants;
import org.javarosa.core.model.FormDef;
import org.javarosa.core.model.FormIndex;
import org.javarosa.core.model.SelectChoice;
import org.javarosa.core.model.data.DateData;
import org.javarosa.core.model.data.IAnswerData;
import org.javarosa.core.model.data.IntegerData;
import org.javarosa.core.model.data.SelectMultiData;
import org.javarosa.core.model.data.SelectOneData;
import org.javarosa.core.model.data.StringData;
import org.javarosa.core.model.data.helper.Selection;
import org.javarosa.core.model.instance.FormInstance;
import org.javarosa.core.model.instance.InstanceInitializationFactory;
import org.javarosa.core.model.instance.TreeElement;
import org.javarosa.core.model.utils.DateUtils;
import org.javarosa.core.util.JavaRosaCoreModule;
import org.javarosa.form.api.FormEntryController;
import org.javarosa.form.api.FormEntryModel;
import org.javarosa.form.api.FormEntryPrompt;
import org.javarosa.model.xform.XFormSerializingVisitor;
import org.javarosa.model.xform.XFormsModule;
import org.javarosa.xform.util.XFormUtils;

/**
 * Fills a form with JavaRosa, the engine inside ODK Collect, as a person would: question by question, only those that
 * are shown, and from the beginning again where somebody goes back to change an answer.
 *
 * <p>Argument: the XForm. Standard input, one line per walk through the form: {@code case TAB question=answer TAB ...};
 * several lines with the same case are walks through one interview. Standard output, for every node of every case:
 * {@code case TAB node TAB 1 or 0 (relevant) TAB value}, then the instance that Collect would send, as
 * {@code case TAB #instance TAB 1 TAB base64}. An empty answer in a walk takes the former answer back. Three more lines
 * list nodes: {@code #missing}, the required questions that are blank; {@code #broken}, the answers that break their
 * constraint; {@code #stale}, the nodes that JavaRosa computed too late after a choice was no longer offered.
 *
 * <p>With two more arguments, numbers of rounds and of cases, the first so many cases are then done that many times
 * again in the warm machine, and standard error gets the median milliseconds a case, as {@code fill 12.3} for filling
 * the form question by question and {@code recompute 4.5} for computing a form anew whose answers are there already.
 */
public final class FillAsCollect {
    private static final PrintStream OUT = new PrintStream(System.out, false, StandardCharsets.UTF_8);

    public static void main(String[] arguments) throws Exception {
        new XFormsModule().registerModule();
        new JavaRosaCoreModule().registerModule();
        FormDef form = XFormUtils.getFormFromFormXml(arguments[0], null);
        FormInstance pristine = form.getMainInstance().clone();
        Map<String, List<Map<String, String>>> cases = readCases();
        for (Map.Entry<String, List<Map<String, String>>> interview : cases.entrySet()) {
            Set<String> stale = fill(form, pristine, interview.getValue());
            print(interview.getKey(), form, stale);
        }
        OUT.flush();
        if (arguments.length > 2) {
            List<List<Map<String, String>>> timed = new ArrayList<>(cases.values());
            int count = Math.min(timed.size(), Integer.parseInt(arguments[2]));
            time(form, pristine, timed.subList(0, count), Integer.parseInt(arguments[1]));
        }
    }

    /** Fills the form; returns the nodes that JavaRosa did not compute anew after it had dropped a choice. */
    private static Set<String> fill(FormDef form, FormInstance pristine, List<Map<String, String>> walks) {
        Set<String> stale = new TreeSet<>();
        form.setInstance(pristine.clone());
        form.initialize(true, new InstanceInitializationFactory());
        FormEntryController controller = new FormEntryController(new FormEntryModel(form));
        for (Map<String, String> answers : walks) {
            walk(form, controller, answers, stale);
        }
        return stale;
    }

    private static void time(
            FormDef form, FormInstance pristine, Collection<List<Map<String, String>>> interviews, int rounds) {
        List<Double> fills = new ArrayList<>();
        List<Double> recomputes = new ArrayList<>();
        for (int round = 0; round < rounds; round++) {
            for (List<Map<String, String>> walks : interviews) {
                long start = System.nanoTime();
                fill(form, pristine, walks);
                fills.add((System.nanoTime() - start) / 1e6);
                FormInstance answered = form.getMainInstance().clone();
                start = System.nanoTime();
                form.setInstance(answered);
                form.initialize(false, new InstanceInitializationFactory());
                recomputes.add((System.nanoTime() - start) / 1e6);
            }
        }
        System.err.println("fill " + warmMedian(fills));
        System.err.println("recompute " + warmMedian(recomputes));
    }

    /** The median of the second half: by then the machine has compiled what it is going to compile. */
    private static double warmMedian(List<Double> times) {
        List<Double> warm = new ArrayList<>(times.subList(times.size() / 2, times.size()));
        Collections.sort(warm);
        return warm.get(warm.size() / 2);
    }

    private static Map<String, List<Map<String, String>>> readCases() throws IOException {
        Map<String, List<Map<String, String>>> cases = new LinkedHashMap<>();
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            String[] cells = line.split("\t");
            Map<String, String> answers = new LinkedHashMap<>();
            for (String cell : Arrays.asList(cells).subList(1, cells.length)) {
                String[] pair = cell.split("=", 2);
                answers.put(pair[0], pair[1]);
            }
            cases.computeIfAbsent(cells[0], name -> new ArrayList<>()).add(answers);
        }
        return cases;
    }

    private static void walk(
            FormDef form, FormEntryController controller, Map<String, String> answers, Set<String> stale) {
        controller.jumpToIndex(FormIndex.createBeginningOfFormIndex());
        int event = controller.stepToNextEvent();
        while (event != FormEntryController.EVENT_END_OF_FORM) {
            if (event == FormEntryController.EVENT_QUESTION) {
                FormEntryPrompt prompt = controller.getModel().getQuestionPrompt();
                String wish = answers.get(prompt.getIndex().getReference().getNameLast());
                if (isSelect(prompt)) {
                    show(form, prompt, stale);
                }
                if (wish != null && wish.isEmpty()) {
                    clear(controller);
                } else if (wish != null && !prompt.isReadOnly()) {
                    IAnswerData answer = answer(prompt, wish);
                    if (answer != null) {
                        controller.answerQuestion(answer, true);
                    }
                }
            }
            event = controller.stepToNextEvent();
        }
    }

    private static boolean isSelect(FormEntryPrompt prompt) {
        int control = prompt.getControlType();
        return control == Constants.CONTROL_SELECT_ONE || control == Constants.CONTROL_SELECT_MULTI;
    }

    /**
     * Shows a select question. JavaRosa then drops the choices that are no longer offered, but computes nothing anew.
     * Nodes that depend on the question keep their former value until another answer changes them or the form is opened
     * again. This program opens the form again at once and notes these nodes.
     */
    private static void show(FormDef form, FormEntryPrompt prompt, Set<String> stale) {
        TreeElement question = form.getMainInstance().resolveReference(prompt.getIndex().getReference());
        String before = text(question);
        prompt.getSelectChoices();
        if (!before.equals(text(question))) {
            Map<String, String> left = nodes(form);
            form.initialize(false, new InstanceInitializationFactory());
            nodes(form).forEach((name, node) -> {
                if (!node.equals(left.get(name))) {
                    stale.add(name);
                }
            });
        }
    }

    /**
     * Takes an answer back. Collect does not go forward from a required question without an answer; a person who swipes
     * back leaves it blank.
     */
    private static void clear(FormEntryController controller) {
        boolean refused = controller.answerQuestion(null, true) == FormEntryController.ANSWER_REQUIRED_BUT_EMPTY;
        if (refused) {
            controller.saveAnswer(null, true);
        }
    }

    /** The answer as Collect's widgets make it, or null if what is wished for is not offered. */
    private static IAnswerData answer(FormEntryPrompt prompt, String wish) {
        switch (prompt.getControlType()) {
            case Constants.CONTROL_SELECT_ONE:
                List<Selection> one = offered(prompt, wish);
                return one == null ? null : new SelectOneData(one.get(0));
            case Constants.CONTROL_SELECT_MULTI:
                List<Selection> many = offered(prompt, wish);
                return many == null ? null : new SelectMultiData(many);
            case Constants.CONTROL_TRIGGER:
                return new StringData(wish);
            default:
                return typed(prompt, wish);
        }
    }

    private static IAnswerData typed(FormEntryPrompt prompt, String wish) {
        switch (prompt.getDataType()) {
            case Constants.DATATYPE_INTEGER:
                return new IntegerData(Integer.parseInt(wish));
            case Constants.DATATYPE_DATE:
                return new DateData(DateUtils.parseDate(wish));
            default:
                return new StringData(wish);
        }
    }

    private static List<Selection> offered(FormEntryPrompt prompt, String wish) {
        List<String> codes = Arrays.asList(wish.split(" "));
        List<Selection> chosen = new ArrayList<>();
        for (SelectChoice choice : prompt.getSelectChoices()) {
            if (codes.contains(choice.getValue())) {
                chosen.add(choice.selection());
            }
        }
        return chosen.size() == codes.size() ? chosen : null;
    }

    private static void print(String name, FormDef form, Set<String> stale) throws IOException {
        nodes(form).forEach((node, relevantAndValue) -> OUT.println(name + "\t" + node + "\t" + relevantAndValue));
        Set<String> missing = new TreeSet<>();
        Set<String> broken = new TreeSet<>();
        for (TreeElement node : elements(form.getMainInstance().getRoot(), new ArrayList<>())) {
            boolean blank = text(node).isEmpty();
            if (node.isRelevant() && node.isRequired() && blank) {
                missing.add(node.getName());
            }
            if (node.isRelevant() && !blank && !form.evaluateConstraint(node.getRef(), node.getValue())) {
                broken.add(node.getName());
            }
        }
        OUT.println(name + "\t#missing\t1\t" + String.join(" ", missing));
        OUT.println(name + "\t#broken\t1\t" + String.join(" ", broken));
        OUT.println(name + "\t#stale\t1\t" + String.join(" ", stale));
        byte[] sent = new XFormSerializingVisitor().serializeInstance(form.getMainInstance());
        OUT.println(name + "\t#instance\t1\t" + Base64.getEncoder().encodeToString(sent));
    }

    /** Every node's name, with its relevance and its value as this program prints them. */
    private static Map<String, String> nodes(FormDef form) {
        Map<String, String> nodes = new LinkedHashMap<>();
        for (TreeElement node : elements(form.getMainInstance().getRoot(), new ArrayList<>())) {
            nodes.put(node.getName(), (node.isRelevant() ? 1 : 0) + "\t" + text(node));
        }
        return nodes;
    }

    private static List<TreeElement> elements(TreeElement parent, List<TreeElement> found) {
        for (int child = 0; child < parent.getNumChildren(); child++) {
            TreeElement node = parent.getChildAt(child);
            if (!node.getName().equals("meta")) {
                found.add(node);
                elements(node, found);
            }
        }
        return found;
    }

    private static String text(TreeElement node) {
        return node.getValue() == null ? "" : node.getValue().uncast().getString();
    }
}
